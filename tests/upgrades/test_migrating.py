"""`manage.py migrate` several times at once, as machines and containers that start together do."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from forecasting.models.locks import Lock
from tests.test_commands import finish, start

pytestmark = pytest.mark.django_db(transaction=True)


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
