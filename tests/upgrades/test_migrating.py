"""`manage.py migrate` several times at once, as machines and containers that start together do."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from forecasting.models.locks import Lock
from forecasting.runtime.processes import wait_for
from tests.test_commands import finish, start

pytestmark = pytest.mark.django_db(transaction=True)


BEFORE_AN_INDEX = "0038_figures_of_the_home_page"
WRITE = "LOCK TABLE forecasting_forecast IN ROW EXCLUSIVE MODE"  # as every statement that writes does


@pytest.fixture
def url() -> Iterator[str]:
    """The DATABASE_URL of a new database without tables."""
    server = connection.settings_dict
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE migrated_at_once")
    yield f"postgres://{server['USER']}@/migrated_at_once?host={server['HOST']}&port={server['PORT']}"
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE migrated_at_once WITH (FORCE)")


def test_two_at_once_both_succeed(url: str, tmp_path: Path) -> None:
    both = [start(tmp_path, "migrate", DATABASE_URL=url) for _ in range(2)]
    told = [finish(each) for each in both]
    assert [status for status, _, _ in told] == [0, 0], told
    applied = [output.count("... OK") for _, output, _ in told]
    assert min(applied) == 0
    assert max(applied) > 20


def test_it_says_why_it_waits_and_goes_on(tmp_path: Path) -> None:
    server = connection.settings_dict
    conninfo = f"host={server['HOST']} port={server['PORT']} user={server['USER']} dbname={server['NAME']}"
    with psycopg.connect(conninfo, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [Lock.MIGRATIONS])
        waiting = start(tmp_path, "migrate")
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "Waiting for another migration, or for a backup ...\n"
        plan, output, _ = finish(start(tmp_path, "migrate", "--check"))
        assert (plan, output) == (0, "")  # it changes nothing, so it need not wait
    status, output, _ = finish(waiting)
    assert status == 0
    assert "No migrations to apply." in output


def test_writers_do_not_wait_for_a_new_index_of_a_large_table(url: str, tmp_path: Path) -> None:
    finish(start(tmp_path, "migrate", "forecasting", BEFORE_AN_INDEX, DATABASE_URL=url))
    with psycopg.connect(url) as one, psycopg.connect(url) as other:
        one.execute(WRITE)
        migrating = start(tmp_path, "migrate", DATABASE_URL=url)
        assert wait_for(lambda: migrating.poll() is not None or waits_for_writers(), seconds=60)
        other.execute("SET lock_timeout = '1 s'")
        other.execute(WRITE)
        other.rollback()
        one.rollback()
    status, output, errors = finish(migrating)
    assert status == 0, errors
    assert "forecasts_by_session... OK" in output


def waits_for_writers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted")
        return bool(cursor.rowcount)


def test_an_index_whose_building_was_interrupted_is_built_anew(url: str, tmp_path: Path) -> None:
    finish(start(tmp_path, "migrate", "forecasting", BEFORE_AN_INDEX, DATABASE_URL=url))
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("CREATE INDEX forecast_by_target ON forecasting_forecast (as_of)")
        database.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'forecast_by_target'::regclass")
        status, _, errors = finish(start(tmp_path, "migrate", DATABASE_URL=url))
        assert status == 0, errors
        found = database.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'forecast_by_target'").fetchall()
    assert [definition.rpartition(" ")[2] for (definition,) in found] == ["(target_date)"]
