"""Access to the price source: several requests in parallel, within the limits of rate_limit.py.

A source that is not remote (files, simulation) needs no lease.
"""

import functools
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, cast

from django.conf import settings
from django.utils.module_loading import import_string

from forecasting.market import rate_limit
from forecasting.market.rate_limit import Lease
from forecasting.models import Symbol
from forecasting.prices.catalogue import SOURCES
from forecasting.prices.sources import (
    PausedError,
    PriceHistory,
    PriceSource,
    PriceSourceError,
)

_fetchers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="prices")
_turn = threading.Semaphore(1)  # at most one caller of a process waits for a remote source: a web server's threads are few


@dataclass(frozen=True, slots=True)
class Question:
    """Which bars of which symbol: from session `since` (None: the whole history) to the completed session `through`."""

    symbol: Symbol
    since: date | None
    through: date


Answer = PriceHistory | PriceSourceError


@functools.cache
def price_source() -> PriceSource:
    """The configured source; one instance per process."""
    entry = SOURCES[settings.PRICE_SOURCE]
    return cast("PriceSource", import_string(entry.path)(**entry.options(settings)))


def is_remote() -> bool:
    """Whether the price source is another party's service."""
    return SOURCES[settings.PRICE_SOURCE].remote


def why_paused() -> str:
    """Until when the price source is not asked, and why; empty if it may be asked."""
    return rate_limit.why_paused(settings.PRICE_SOURCE) if is_remote() else ""


@contextmanager
def deadline(budget_s: float) -> Iterator[float]:
    """Until when to wait for the price source (time.monotonic): `budget_s` from now, or until now if somebody waits already."""
    remote = is_remote()
    may_wait = not remote or _turn.acquire(blocking=False)
    try:
        yield time.monotonic() + (budget_s if may_wait else 0.0)
    finally:
        if remote and may_wait:
            _turn.release()


def answers(questions: deque[Question], *, seconds: float, patient: bool = False) -> Iterator[tuple[Question, Answer]]:
    """Each question with its answer, as they come, for at most `seconds`; a question that is added meanwhile is asked too.

    `patient`: for the length of two pauses, requests of others go first. Later they do not, or else a job would never end while
    others ask all the time.

    Requests run in threads that do not use the database; everything else runs in the caller's thread. A question without an answer
    in time yields nothing, although its request may still be under way.
    """
    began = time.monotonic()
    ends, patient_until = began + seconds, began + 2 * rate_limit.pause_between_requests().total_seconds() if patient else began
    under_way: dict[Future[Answer], tuple[Question, Lease | None]] = {}
    try:
        while (questions or under_way) and (left := ends - time.monotonic()) > 0:
            delay = _start(questions, under_way, patient=time.monotonic() < patient_until)
            if isinstance(delay, PausedError):
                yield from _refused(questions, delay)
            else:
                _wait(under_way, seconds=left if delay is None else min(left, delay))
            for future in [future for future in under_way if future.done()]:
                question, lease = under_way.pop(future)
                if lease:
                    rate_limit.release(lease, future.result())
                yield question, future.result()
    finally:
        for future, (_, lease) in under_way.items():
            if future.cancel() and lease:
                rate_limit.release(lease, None)


def _start(
    questions: deque[Question], under_way: dict[Future[Answer], tuple[Question, Lease | None]], *, patient: bool
) -> PausedError | float | None:
    """Sends as many questions as the rate limit allows. If some remain, returns the error of a paused source, or the seconds until
    the next try; otherwise None."""
    name, remote = settings.PRICE_SOURCE, is_remote()
    courtesy = rate_limit.courtesy() if patient else timedelta()
    while questions:
        lease = rate_limit.acquire(name, courtesy=courtesy) if remote else None
        if remote and not lease:
            return rate_limit.retry_after(name, ticker=questions[0].symbol.ticker, courtesy=courtesy)
        question = questions.popleft()
        under_way[_fetchers.submit(_fetch, question)] = question, lease
    return None


def _refused(questions: deque[Question], error: PausedError) -> Iterator[tuple[Question, Answer]]:
    while questions:
        question = questions.popleft()
        yield question, PausedError(question.symbol.ticker, error.reason, error.until)


def _wait(under_way: dict[Future[Answer], Any], *, seconds: float) -> None:
    """Waits at most that long, and only until a request is done if one is under way."""
    if under_way:
        wait(under_way, timeout=seconds, return_when=FIRST_COMPLETED)
    else:
        time.sleep(seconds)


def _fetch(question: Question) -> Answer:
    """Runs in a thread, so it must not use the database."""
    try:
        return price_source().fetch(question.symbol.ticker, since=question.since, through=question.through)
    except PriceSourceError as error:
        return error
