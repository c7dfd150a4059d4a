"""`manage.py stop_postgres`, which never starts or stops a database given by DATABASE_URL."""

import os
from pathlib import Path

import pytest

from stockpred.embedded_postgres.server import EmbeddedPostgres
from tests.embedded_postgres import children

STOP = (
    children.DJANGO
    + """
from forecasting.management.commands.stop_postgres import Command
call_command(Command(), *sys.argv[2:])
"""
)
LEFT_ALONE = """
from django.core.management import call_command
from django.db import OperationalError, connection
from forecasting.management.commands.stop_postgres import Command
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "stockpred.settings"
call_command(Command(), "--destroy")
try:
    connection.ensure_connection()
except OperationalError as error:
    print(error)
"""


def test_it_stops_the_server_and_says_so(running: EmbeddedPostgres) -> None:
    assert children.run(STOP, running.folders.root) == f"The embedded Postgres in {running.folders.root} stopped."
    assert not running.is_running()


def test_it_says_that_there_was_no_server(stopped: EmbeddedPostgres) -> None:
    assert children.run(STOP, stopped.folders.root).endswith(" was not running.")


def test_it_keeps_the_data(running: EmbeddedPostgres) -> None:
    children.run(STOP, running.folders.root)
    assert running.folders.data.exists()


def test_destroy_deletes_the_data(new: EmbeddedPostgres) -> None:
    new.folders.claim()
    new.folders.data.mkdir()
    assert children.run(STOP, new.folders.root, "--destroy").endswith(" was not running and is deleted.")
    assert not new.folders.root.exists()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a service with an unreachable DATABASE_URL."""
    monkeypatch.setenv("ENV_FILE", os.devnull)
    monkeypatch.setenv("DATABASE_URL", "postgres://someone:secret@127.0.0.1:1/elsewhere")
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ENABLE_LOGS", "False")
    return tmp_path


def test_with_database_url_it_leaves_that_database_alone(elsewhere: Path) -> None:
    assert "That database is not changed" in children.run(LEFT_ALONE)


def test_with_database_url_no_server_is_started_where_that_database_is_away(elsewhere: Path) -> None:
    assert "127.0.0.1" in children.run(LEFT_ALONE)
    assert not (elsewhere / "postgres").exists()
