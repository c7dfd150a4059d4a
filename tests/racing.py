"""Races for tests: concurrent calls, each in a thread with its own database connection."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Literal, TypeVar

from django.db import connection, models

from forecasting.runtime.processes import wait_for

Result = TypeVar("Result")

PATIENCE_SECONDS = 10.0


def at_once(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Runs the calls concurrently and returns their results; raises the error of the first failing call."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Result]) -> Result:
        start.wait(PATIENCE_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [begin(threads, partial(run, call)) for call in calls]]


def begin(threads: ThreadPoolExecutor, call: Callable[[], Result]) -> Future[Result]:
    """Starts the call in a thread."""
    return threads.submit(_then_disconnect, call)


def begin_behind_us(
    threads: ThreadPoolExecutor, call: Callable[[], Result], *, seconds: float = PATIENCE_SECONDS
) -> Future[Result]:
    """Starts the call in a thread; returns when it waits for a lock that this thread's open transaction holds."""
    future = begin(threads, call)
    assert wait_for(lambda: future.done() or somebody_waits_for_us(), seconds=seconds, every_s=0.005)
    assert not future.done(), f"it did not wait: {future}"
    return future


@contextmanager
def slow(statement: Literal["INSERT", "UPDATE"], model: type[models.Model], *, seconds: float = 0.04) -> Iterator[None]:
    """Delays each written row, so that statements of several rows overlap."""
    body = f"'BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END'"
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS {body}")
        cursor.execute(f"CREATE TRIGGER slow BEFORE {statement} ON {table} FOR EACH ROW EXECUTE FUNCTION take_time()")
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION take_time CASCADE")


def _then_disconnect(call: Callable[[], Result]) -> Result:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{PATIENCE_SECONDS} s'")  # a test fails instead of waiting for ever
        return call()
    finally:
        connection.close()


def somebody_waits_for_us() -> bool:
    """Whether a lock of this thread's connection is in the way of another one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))")
        return bool(cursor.rowcount)
