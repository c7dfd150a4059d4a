"""Migrations since the former release only add, so that its code goes on beside the new schema.

The SQL is checked, which needs no history. `test_former_release.py` also runs the former code, if the clone has it.
"""

import io
import re

import pytest
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader

from tests.upgrades.former import LAST_MIGRATION

APP = "forecasting"
LARGE = "forecasting_(pricebar|forecast|score)"  # tables
BREAKS = {
    r"\bDROP (TABLE|COLUMN)\b": "the former code reads it",
    r"\bRENAME (TO|COLUMN|CONSTRAINT)\b": "the former code knows the old name",
    r"\bSET NOT NULL\b": "the former code may write NULL",
    r"\bDROP DEFAULT\b": "the former code does not write the column: give it a db_default",
    r"\bTYPE \w+": "the former code may write other values, and the table is locked while it is rewritten",
    r"\bADD CONSTRAINT \S+ (CHECK|UNIQUE)\b": "the former code may write rows that the constraint refuses",
    r"\bCREATE UNIQUE INDEX\b": "the former code may write rows that the index refuses",
    rf'\bCREATE INDEX (?!CONCURRENTLY).* ON (ONLY )?"?{LARGE}\b': "writes wait until it is built: use BuildIndex",
}
HARMLESS: dict[str, str] = {}  # why a migration that looks as if it breaks the former code does not, by its name


def problems(statements: str) -> list[str]:
    """What would break code that knows the tables as they were before these statements, with the reason."""
    made = set(re.findall(r'CREATE TABLE "(\w+)"', statements))
    altered = [
        line
        for line in statements.splitlines()
        if not any(f'{of} "{table}"' in line for table in made for of in ("ALTER TABLE", "ON"))
    ]
    return [f"{line.strip()}: {why}" for line in altered for pattern, why in BREAKS.items() if re.search(pattern, line)]


@pytest.mark.django_db(transaction=True)  # an index that is built concurrently allows no transaction
def test_migrations_since_the_former_release_only_add() -> None:
    names = {name for app, name in MigrationLoader(None).disk_migrations if app == APP}
    assert LAST_MIGRATION in names
    found = []
    for name in sorted(names - {*HARMLESS}):
        if name > LAST_MIGRATION:
            output = io.StringIO()
            call_command("sqlmigrate", APP, name, stdout=output)
            found += [f"{name}: {each}" for each in problems(output.getvalue())]
    assert found == []


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE "a" DROP COLUMN "b" CASCADE;',
        'ALTER TABLE "a" RENAME COLUMN "b" TO "c";',
        'ALTER TABLE "a" ADD COLUMN "b" integer DEFAULT 0 NOT NULL;\nALTER TABLE "a" ALTER COLUMN "b" DROP DEFAULT;',
        'ALTER TABLE "a" ALTER COLUMN "b" SET NOT NULL;',
        'ALTER TABLE "a" ALTER COLUMN "b" TYPE bigint USING "b"::bigint;',
        'ALTER TABLE "a" ADD CONSTRAINT "b_positive" CHECK ("b" > 0);',
        'DROP TABLE "a" CASCADE;',
        'CREATE UNIQUE INDEX "a_b" ON "a" ("b");',
        'CREATE INDEX "a_b" ON "forecasting_score" ("b");',
        "CREATE INDEX IF NOT EXISTS a_b ON forecasting_forecast (b);",
    ],
)
def test_a_statement_that_breaks_the_former_code_is_found(statement: str) -> None:
    assert len(problems(statement)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE "a" ADD COLUMN "b" integer DEFAULT 0 NOT NULL;',
        'ALTER TABLE "a" ADD COLUMN "b" integer NULL;',
        'CREATE INDEX "a_b" ON "a" ("b");',
        'CREATE INDEX CONCURRENTLY "a_b" ON "forecasting_score" ("b");',
        'CREATE TABLE "a" ("b" integer NOT NULL);\nCREATE INDEX "a_b" ON "a" ("b");',
        'CREATE TABLE "a" ("b" integer NOT NULL);\nALTER TABLE "a" ADD CONSTRAINT "b_positive" CHECK ("b" > 0);',
    ],
)
def test_a_statement_that_only_adds_is_fine(statement: str) -> None:
    assert problems(statement) == []
