"""The Django engine: full Postgres, with a server that starts for each needed connection."""

import pytest

from stockpred.embedded_postgres.server import EmbeddedPostgres
from tests.embedded_postgres import children

FEATURES = """
from django.contrib.auth.models import User
from django.db import transaction
call_command("migrate", verbosity=0)
User.objects.get_or_create(username="someone")
with transaction.atomic():
    print(User.objects.select_for_update(skip_locked=True).get(username__iexact="SOMEONE"))
"""
CRASH = """
import os, signal
answer()
os.kill(int((server.folders.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
connection.close()
print(answer())
"""
TEST_DATABASE = """
connection.creation.create_test_db(verbosity=0, autoclobber=True)
print(connection.settings_dict["NAME"], answer())
connection.creation.destroy_test_db("stockpred", verbosity=0)
print(connection.settings_dict["NAME"], answer())
"""
FAILURE = """
server.folders.claim()
server.folders.data.mkdir()
try:
    answer()
except OperationalError as error:
    print(error)
"""


def django(code: str, server: EmbeddedPostgres) -> str:
    return children.run(children.DJANGO + code, server.folders.root)


def test_a_first_connection_starts_the_server(stopped: EmbeddedPostgres) -> None:
    assert django("print(answer())", stopped) == "42"


@pytest.mark.parametrize("command", ["check", "diffsettings"])
def test_a_command_that_needs_no_connection_does_not_start_it(stopped: EmbeddedPostgres, command: str) -> None:
    django(f"call_command({command!r})", stopped)
    assert not stopped.is_running()


def test_the_next_connection_after_a_crash_finds_the_server_again(running: EmbeddedPostgres) -> None:
    assert django(CRASH, running) == "42"


def test_a_test_database_is_made_and_removed(stopped: EmbeddedPostgres) -> None:
    assert django(TEST_DATABASE, stopped).splitlines() == ["test_stockpred 42", "stockpred 42"]


def test_migrations_and_row_locks_work_as_on_any_postgres(running: EmbeddedPostgres) -> None:
    assert django(FEATURES, running) == "someone"


def test_dbshell_finds_its_psql_and_starts_the_server(stopped: EmbeddedPostgres) -> None:
    assert django("call_command('dbshell', '--', '-Atc', 'SELECT 6 * 7')", stopped) == "42"


def test_a_server_that_cannot_start_is_a_database_error_that_names_database_url(new: EmbeddedPostgres) -> None:
    message = django(FAILURE, new)
    assert "cannot start" in message
    assert "DATABASE_URL=" in message
