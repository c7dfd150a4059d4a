"""Asks the price source several questions in parallel, within the limits of rate_limit.py.

Local sources (files, simulation) have no rate limit.
"""

import functools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from django.conf import settings
from django.utils.module_loading import import_string

from forecasting.market import rate_limit
from forecasting.market.rate_limit import FETCH_SECONDS, Permit
from forecasting.models import Symbol
from forecasting.prices.simulation import Simulation
from forecasting.prices.sources import (
    CsvFolder,
    PausedError,
    PriceHistory,
    PriceSource,
    PriceSourceError,
)

_fetchers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="prices")


@dataclass(frozen=True, slots=True)
class Question:
    """Which bars of which symbol: from session `since` (None: the whole history) to the completed session `through`."""

    symbol: Symbol
    since: date | None
    through: date


Outcome = PriceHistory | PriceSourceError


@functools.cache
def price_source() -> PriceSource:
    """The configured source; one instance per process."""
    if settings.PRICE_SOURCE == "csv":
        return CsvFolder(settings.PRICE_DIR)
    if settings.PRICE_SOURCE == "sample":
        return Simulation(seed=settings.SEED)
    # Imported here because yfinance costs one second and 50 MB, and many processes never fetch prices.
    yahoo = import_string("forecasting.prices.yahoo.Yahoo")
    folder = settings.STATE_DIR / "yfinance"
    return cast("PriceSource", yahoo(base_url=settings.YAHOO_URL, cache_dir=folder, timeout_s=FETCH_SECONDS))


def is_paused() -> bool:
    """Whether requests to the price source are paused."""
    return price_source().remote and rate_limit.is_paused(price_source().name)


def answers(questions: deque[Question], *, seconds: float) -> Iterator[tuple[Question, Outcome]]:
    """Yields each question with its answer, as they arrive, for at most `seconds`. Questions added meanwhile are asked too.

    Requests run in threads that do not use the database; everything else runs in the caller's thread. A question without an answer
    in time yields nothing, although its request may still be under way.
    """
    ends = time.monotonic() + seconds
    under_way: dict[Future[Outcome], tuple[Question, Permit | None]] = {}
    try:
        while (questions or under_way) and (left := ends - time.monotonic()) > 0:
            obstacle = _start(questions, under_way)
            if isinstance(obstacle, PausedError):
                yield from _refused(questions, obstacle)
            else:
                _wait(under_way, seconds=left if obstacle is None else min(left, obstacle))
            for future in [future for future in under_way if future.done()]:
                question, permit = under_way.pop(future)
                if permit:
                    rate_limit.settle(permit, future.result())
                yield question, future.result()
    finally:
        for future, (_, permit) in under_way.items():
            if future.cancel() and permit:
                rate_limit.settle(permit, None)


def _start(
    questions: deque[Question], under_way: dict[Future[Outcome], tuple[Question, Permit | None]]
) -> PausedError | float | None:
    """Sends as many questions as the rate limit allows. If some remain, returns the error of a paused source, or the seconds until
    the next try; otherwise None."""
    source = price_source()
    while questions:
        permit = rate_limit.take(source.name) if source.remote else None
        if source.remote and not permit:
            return rate_limit.obstacle(source.name, ticker=questions[0].symbol.ticker)
        question = questions.popleft()
        under_way[_fetchers.submit(_fetch, question)] = question, permit
    return None


def _refused(questions: deque[Question], error: PausedError) -> Iterator[tuple[Question, Outcome]]:
    while questions:
        question = questions.popleft()
        yield question, PausedError(question.symbol.ticker, error.reason, error.until)


def _wait(under_way: dict[Future[Outcome], Any], *, seconds: float) -> None:
    """Waits until a request is done, for at most `seconds`; sleeps `seconds` if none is under way."""
    if under_way:
        wait(under_way, timeout=seconds, return_when=FIRST_COMPLETED)
    else:
        time.sleep(seconds)


def _fetch(question: Question) -> Outcome:
    """Runs in a thread, so it must not use the database."""
    try:
        return price_source().fetch(question.symbol.ticker, since=question.since, through=question.through)
    except PriceSourceError as error:
        return error
