"""All advisory locks, with their numbers. If a process dies, Postgres releases its locks with the connection."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

from django.db import connection

from forecasting.models.symbols import Symbol

POLL_SECONDS = 0.05


class Lock(IntEnum):
    """What each lock serialises. The numbers are ASCII codes; running processes of an earlier release use the same."""

    SYMBOL = 0x53594D42  # "SYMB": syncs of one symbol; the second key is the symbol's primary key
    ROOM = 0x524F4F4D  # "ROOM": requests that count the waiting trainings against the limit
    BASE = 0x42415345  # "BASE": installations of the shipped base
    SCORING = 0x53434F52  # "SCOR": runs of the scoring
    DAILY = 0x4441494C  # "DAIL": runs of the daily job
    SCHEDULE = 0x53434844  # "SCHD": changes of the schedules


def lock_until_commit(lock: Lock) -> None:
    """Waits for the lock, and keeps it until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock])


def lock_symbol_until_commit(symbol: Symbol) -> None:
    """Waits for the symbol's lock, and keeps it until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [Lock.SYMBOL, symbol.pk])


@contextmanager
def lock_if_free(lock: Lock) -> Iterator[bool]:
    """Locks for the block without waiting. Yields whether this process got the lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock])
        (mine,) = cursor.fetchone()
    try:
        yield mine
    finally:
        if mine and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [lock])


@contextmanager
def lock_symbols(symbols: Sequence[Symbol], *, seconds: float = 0) -> Iterator[list[Symbol]]:
    """Locks the symbols for the block, waiting at most `seconds`. Yields those that were locked."""
    ends = time.monotonic() + seconds
    mine = _taken(symbols)
    try:
        while len(mine) < len(symbols) and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)
            mine += _taken([symbol for symbol in symbols if symbol not in mine])
        yield mine
    finally:
        with connection.cursor() as cursor:
            keys = [symbol.pk for symbol in mine]
            cursor.execute("SELECT pg_advisory_unlock(%s, key) FROM unnest(%s::int[]) AS key", [Lock.SYMBOL, keys])


def wait_for_symbols(symbols: Sequence[Symbol], *, ends: float) -> None:
    """Waits until no other process locks any of the symbols, or until `ends` (time.monotonic)."""
    if symbols:
        with lock_symbols(symbols, seconds=max(0.0, ends - time.monotonic())):
            pass


def _taken(symbols: Sequence[Symbol]) -> list[Symbol]:
    query = "SELECT key FROM unnest(%s::int[]) AS key WHERE pg_try_advisory_lock(%s, key)"
    with connection.cursor() as cursor:
        cursor.execute(query, [[symbol.pk for symbol in symbols], Lock.SYMBOL])
        keys = {key for (key,) in cursor}
    return [symbol for symbol in symbols if symbol.pk in keys]
