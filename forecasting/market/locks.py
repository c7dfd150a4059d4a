"""Advisory locks: one process at a time syncs a symbol. If a process dies, Postgres releases its locks with the connection."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection

from forecasting.models import Symbol

SYMBOL_LOCK = 0x53594D42  # first key of the locks; the second is the symbol's primary key
POLL_SECONDS = 0.05


@contextmanager
def held(symbols: Sequence[Symbol], *, seconds: float = 0) -> Iterator[list[Symbol]]:
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
            cursor.execute("SELECT pg_advisory_unlock(%s, key) FROM unnest(%s::int[]) AS key", [SYMBOL_LOCK, keys])


def wait_for_others(symbols: Sequence[Symbol], *, ends: float) -> None:
    """Waits until no other process syncs any of the symbols, or until `ends` (time.monotonic)."""
    if symbols:
        with held(symbols, seconds=max(0.0, ends - time.monotonic())):
            pass


def _taken(symbols: Sequence[Symbol]) -> list[Symbol]:
    query = "SELECT key FROM unnest(%s::int[]) AS key WHERE pg_try_advisory_lock(%s, key)"
    with connection.cursor() as cursor:
        cursor.execute(query, [[symbol.pk for symbol in symbols], SYMBOL_LOCK])
        keys = {key for (key,) in cursor}
    return [symbol for symbol in symbols if symbol.pk in keys]
