"""Places to restore into: a database of its own on a second server, and a folder for model files."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

from tests.test_migrations import SCHEMA

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
NOT_KEPT = {"django_session", "cache"}  # their rows


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is, or will be."""

    folder: Path
    conninfo: str  # of its database
    env: dict[str, str] = field(default_factory=dict)

    @property
    def media(self) -> Path:
        return Path(self.env["MEDIA_ROOT"])

    def manage(self, *arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command of manage.py there."""
        command = [*MANAGE, *map(str, arguments)]
        return subprocess.run(
            command, env=os.environ | self.env | variables, capture_output=True, text=True, check=False, timeout=200
        )

    def told(self, *arguments: object) -> str:
        """The output of a command that succeeds."""
        finished = self.manage(*arguments)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def refusal(self, *arguments: object) -> str:
        """The error of a command that fails, without a traceback."""
        finished = self.manage(*arguments)
        assert finished.returncode == 1, finished.stdout
        assert "Traceback" not in finished.stderr
        return finished.stderr

    def tables(self) -> dict[str, str]:
        """A hash of each table's rows, bit for bit and in any order."""
        with psycopg.connect(self.conninfo) as database:
            names = [name for (name,) in database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            return {name: _content(database, name) for name in names if name not in NOT_KEPT}

    def schema(self) -> set[tuple[str, str]]:
        """Every column, constraint, index, trigger and function, with its definition without casts: a dump writes more of them."""
        with psycopg.connect(self.conninfo) as database:
            return {(name, re.sub(r"::[a-z ]+(\[\])?|[()]", "", definition)) for name, definition in database.execute(SCHEMA)}

    def model_files(self) -> dict[str, bytes]:
        """The content of each file below MEDIA_ROOT."""
        return {str(path.relative_to(self.media)): path.read_bytes() for path in self.media.rglob("*") if path.is_file()}

    def is_empty(self) -> bool:
        """Whether there are neither tables nor model files, nor anything unfinished."""
        return self.tables() == {} and (not self.media.exists() or [*self.media.iterdir()] == [])


def _content(database: psycopg.Connection, table: str) -> str:
    query = sql.SQL("COPY (SELECT each::text FROM {} AS each ORDER BY 1) TO STDOUT").format(sql.Identifier(table))
    digest = hashlib.sha256()
    with database.cursor() as cursor, cursor.copy(query) as copy:
        for chunk in copy:
            digest.update(chunk)
    return digest.hexdigest()


def place_of_tests() -> Place:
    """The test's own database and MEDIA_ROOT."""
    return Place(Path(settings.MEDIA_ROOT).parent, _conninfo(connection.settings_dict), {"MEDIA_ROOT": str(settings.MEDIA_ROOT)})


def place(folder: Path, database: dict[str, str]) -> Place:
    """A place in a folder, with this database by its DATABASE_URL."""
    url = f"postgres://{database['USER']}@/{database['NAME']}?host={database['HOST']}&port={database['PORT']}"
    return Place(folder, _conninfo(database), variables(folder) | {"DATABASE_URL": url})


def variables(folder: Path) -> dict[str, str]:
    """The environment of a service in a folder, with the embedded Postgres."""
    return {
        "ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "stockpred.settings",
        "DATABASE_URL": "",
        "SECRET_KEY": settings.SECRET_KEY,
        "PRICE_SOURCE": "sample",
        "STATE_DIR": str(folder),
        "MEDIA_ROOT": str(folder / "media"),
        "LOG_DIR": str(folder / "logs"),
    }


def _conninfo(database: dict[str, str]) -> str:
    return f"host={database['HOST']} port={database['PORT']} user={database['USER']} dbname={database['NAME']}"
