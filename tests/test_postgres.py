"""The database engine: a health check without a statement, and connections that the server ended."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other() -> Iterator[CursorWrapper]:
    """A cursor of a second connection."""
    second: BaseDatabaseWrapper = connection.copy()
    with second.cursor() as cursor:
        yield cursor
    second.close()


@pytest.fixture
def session() -> int:
    """The server's number of our connection, as at the start of a request."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (number,) = cursor.fetchone()
    connection.close_if_unusable_or_obsolete()
    return int(number)


def test_an_idle_connection_is_usable_without_a_statement(session: int, other: CursorWrapper) -> None:
    assert connection.is_usable()
    other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [session])
    assert other.fetchone() == ("SELECT pg_backend_pid()",)


def test_a_connection_that_the_server_ended_is_replaced(session: int, other: CursorWrapper) -> None:
    other.execute("SELECT pg_terminate_backend(%s, 10000)", [session])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() != (session,)


def test_a_connection_with_a_message_to_read_is_kept(session: int, other: CursorWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute("LISTEN news")
    other.execute("NOTIFY news")
    assert connection.is_usable()


def test_a_closed_connection_is_not_usable(session: int) -> None:
    connection.connection.close()
    assert not connection.is_usable()
