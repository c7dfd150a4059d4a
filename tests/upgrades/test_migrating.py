"""`manage.py migrate` several times at once, as machines and containers that start together do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from forecasting.models.locks import Lock
from forecasting.runtime.processes import wait_for
from tests.test_commands import finish, start

pytestmark = pytest.mark.django_db(transaction=True)


BEFORE_AN_INDEX = "0038_figures_of_the_home_page"
INDEX = "forecast_by_target"
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


@pytest.fixture
def early(url: str, tmp_path: Path) -> str:
    """The same, of one that lacks an index of forecasts."""
    status, _, errors = finish(start(tmp_path, "migrate", "forecasting", BEFORE_AN_INDEX, DATABASE_URL=url))
    assert status == 0, errors
    return url


def test_writers_do_not_wait_for_a_new_index_of_a_large_table(early: str, tmp_path: Path) -> None:
    with psycopg.connect(early) as one, psycopg.connect(early) as other:
        one.execute(WRITE)
        with start(tmp_path, "migrate", DATABASE_URL=early) as migrating:
            try:
                assert wait_for(lambda: migrating.poll() is not None or is_in_the_way(one), seconds=60)
                other.execute("SET lock_timeout = '1 s'")
                other.execute(WRITE)
            finally:
                other.close()
                one.close()
                status, output, errors = finish(migrating)
    assert status == 0, errors
    assert "forecasts_by_session... OK" in output


def is_in_the_way(of: psycopg.Connection) -> bool:
    """Whether somebody waits until its transaction ends, although it could write."""
    blocked = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid' AND %s = ANY (pg_blocking_pids(pid))"
    with connection.cursor() as cursor:
        cursor.execute(blocked, [of.info.backend_pid])
        return bool(cursor.rowcount)


def interrupted(database: psycopg.Connection, url: str) -> None:
    """Leaves an index behind that is not complete."""
    with psycopg.connect(url) as writer:
        writer.execute(WRITE)
        database.execute("SET statement_timeout = '200 ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            database.execute(f"CREATE INDEX CONCURRENTLY {INDEX} ON forecasting_forecast (target_date)")
        writer.rollback()


def finished(database: psycopg.Connection, url: str) -> None:
    """Leaves the index complete, but the migration unrecorded."""
    database.execute(f"CREATE INDEX {INDEX} ON forecasting_forecast (target_date)")


@pytest.mark.parametrize("how", [interrupted, finished])
def test_a_migration_that_was_killed_while_it_built_an_index_can_be_repeated(
    early: str, tmp_path: Path, how: Callable[[psycopg.Connection, str], None]
) -> None:
    with psycopg.connect(early, autocommit=True) as database:
        how(database, early)
        status, _, errors = finish(start(tmp_path, "migrate", DATABASE_URL=early))
        assert status == 0, errors
        valid = database.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [INDEX]).fetchall()
    assert valid == [(True,)]
