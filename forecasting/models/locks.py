"""All advisory locks, with their numbers. If a process dies, Postgres releases its locks with the connection."""

import time
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

from django.db import connection

from forecasting.models.symbols import Symbol

POLL_SECONDS = 0.05


class Lock(IntEnum):
    """What each lock serialises. The numbers are ASCII codes; running processes of an earlier release use the same."""

    SYMBOL = 0x53594D42  # "SYMB": syncs of one symbol; the second key is the symbol's primary key
    NAME = 0x4E414D45  # "NAME": lookups of one name; the second key is the name's CRC
    NAMES = 0x4E414D53  # "NAMS": background runs that look up names
    ROOM = 0x524F4F4D  # "ROOM": requests that count the waiting trainings against the limit
    BASE = 0x42415345  # "BASE": installations of the shipped base
    SCORING = 0x53434F52  # "SCOR": runs of the scoring
    DAILY = 0x4441494C  # "DAIL": runs of the daily job
    PREVIEWS = 0x50524556  # "PREV": runs that draw preview pictures
    ALERTS = 0x414C5254  # "ALRT": looks for alerts
    SCHEDULE = 0x53434844  # "SCHD": changes of the schedules
    MIGRATIONS = 0x4D494752  # "MIGR": migrations, backups and restores: none may change the tables of another one
    RETENTION = 0x5245544E  # "RETN": removals of model files, and backups that copy them


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
def lock_when_free(lock: Lock, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Locks for the block; waits if necessary, and calls `waiting` once before.

    It polls. A statement that waits would keep a snapshot, and CREATE INDEX CONCURRENTLY of the one that holds the lock waits for
    all snapshots.
    """
    told = False
    while True:
        with lock_if_free(lock) as mine:
            if mine:
                yield
                return
        if not told:
            waiting()
            told = True
        time.sleep(POLL_SECONDS)


@contextmanager
def lock_symbols(symbols: Sequence[Symbol], *, seconds: float = 0) -> Iterator[list[Symbol]]:
    """Locks the symbols for the block, waiting at most `seconds`. Yields those that were locked."""
    with _locked(Lock.SYMBOL, [symbol.pk for symbol in symbols], seconds=seconds) as mine:
        yield [symbol for symbol in symbols if symbol.pk in mine]


@contextmanager
def lock_names(names: Sequence[str], *, seconds: float = 0) -> Iterator[list[str]]:
    """Locks the names for the block, waiting at most `seconds`. Yields those that were locked."""
    keys = {name: zlib.crc32(name.encode()) - 2**31 for name in names}  # within Postgres's integers
    with _locked(Lock.NAME, [*keys.values()], seconds=seconds) as mine:
        yield [name for name in names if keys[name] in mine]


def wait_for_symbols(symbols: Sequence[Symbol], *, ends: float) -> None:
    """Waits until no other process locks any of the symbols, or until `ends` (time.monotonic)."""
    if symbols:
        with lock_symbols(symbols, seconds=max(0.0, ends - time.monotonic())):
            pass


def wait_for_names(names: Sequence[str], *, ends: float) -> None:
    """Waits until no other process locks any of the names, or until `ends` (time.monotonic)."""
    if names:
        with lock_names(names, seconds=max(0.0, ends - time.monotonic())):
            pass


@contextmanager
def _locked(lock: Lock, keys: Collection[int], *, seconds: float) -> Iterator[set[int]]:
    """Locks the keys for the block, waiting at most `seconds`. Yields those that were locked."""
    ends = time.monotonic() + seconds
    missing = set(keys)
    mine = _taken(lock, missing)
    try:
        while (missing := missing - mine) and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)
            mine |= _taken(lock, missing)
        yield mine
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, key) FROM unnest(%s::int[]) AS key", [lock, [*mine]])


def _taken(lock: Lock, keys: Collection[int]) -> set[int]:
    query = "SELECT key FROM unnest(%s::int[]) AS key WHERE pg_try_advisory_lock(%s, key)"
    with connection.cursor() as cursor:
        cursor.execute(query, [[*keys], lock])
        return {key for (key,) in cursor}
