"""The price source behind one door for all processes: paced, and left alone for a while when it refuses or keeps failing.

Pace, requests under way and breaker are one row of Postgres, moved on by single statements and by the database's clock, so that
processes and machines share them. A source that is not remote (files, simulation) has no such row and no limits.

The breaker opens at once when the source limits our rate and after FAILURES_TO_OPEN failed requests in a row; while it is open
nothing is asked. When its time is over one request, the canary, is let through: its answer closes the breaker, its failure opens it
for twice as long.
"""

import functools
import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from forecasting.models import Symbol, Upstream
from forecasting.pipeline.simulation import Simulation
from forecasting.pipeline.sources import (
    CsvFolder,
    PausedError,
    PriceHistory,
    PriceSource,
    PriceSourceError,
    RateLimitedError,
    UpstreamUnavailableError,
)

FETCH_SECONDS = 10  # of one request with all that belongs to it
LEASE_SECONDS = FETCH_SECONDS + 5  # after this a request whose process died no longer counts as under way
FAILURES_TO_OPEN = 5  # in a row
PAUSE_WHEN_LIMITED = timedelta(minutes=15), timedelta(hours=4)  # the first one and, doubled each time, the longest
PAUSE_WHEN_FAILING = timedelta(minutes=1), timedelta(hours=1)
POLL_SECONDS = 0.05

TAKE = """
    UPDATE forecasting_upstream AS upstream SET
        next_request_at = clock.now + %(pause)s,
        leases = array_append(ARRAY(SELECT lease FROM unnest(leases) AS lease WHERE lease > clock.now), clock.now + %(lease)s),
        state = CASE state WHEN 'closed' THEN 'closed' ELSE 'half_open' END,
        open_until = CASE state WHEN 'closed' THEN NULL ELSE clock.now + %(lease)s END
    FROM (SELECT clock_timestamp() AS now) AS clock
    WHERE source = %(source)s
        AND next_request_at <= clock.now
        AND (SELECT count(*) FROM unnest(leases) AS lease WHERE lease > clock.now) < %(limit)s
        AND (state = 'closed' OR open_until <= clock.now)
    RETURNING clock.now + %(lease)s, state = 'half_open'
"""
SUCCEED = """
    UPDATE forecasting_upstream SET
        leases = array_remove(leases, %(lease)s), last_success_at = clock_timestamp(),
        failures = CASE WHEN state = 'closed' OR %(canary)s THEN 0 ELSE failures END,
        opens = CASE WHEN %(canary)s THEN 0 ELSE opens END,
        reason = CASE WHEN state = 'closed' OR %(canary)s THEN '' ELSE reason END,
        opened_at = CASE WHEN %(canary)s THEN NULL ELSE opened_at END,
        open_until = CASE WHEN %(canary)s THEN NULL ELSE open_until END,
        state = CASE WHEN %(canary)s THEN 'closed' ELSE state END
    WHERE source = %(source)s
"""
FAIL = """
    UPDATE forecasting_upstream SET
        leases = array_remove(leases, %(lease)s), failures = failures + 1,
        reason = CASE WHEN state = 'closed' OR %(canary)s THEN %(reason)s ELSE reason END
    WHERE source = %(source)s
"""
# Of requests that were under way together the first failure opens it; the others find it open and change nothing.
OPEN = """
    UPDATE forecasting_upstream SET
        state = 'open', opens = opens + 1, opened_at = clock_timestamp(),
        open_until = clock_timestamp() + least(%(first)s * power(2, least(opens, 20)), %(longest)s)
    WHERE source = %(source)s AND ((state = 'closed' AND failures >= %(enough)s) OR (state = 'half_open' AND %(canary)s))
    RETURNING open_until
"""

logger = logging.getLogger(__name__)
_fetchers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="prices")


@dataclass(frozen=True, slots=True)
class Question:
    """Which bars of which symbol: from session `since` (None: the whole history) to the completed session `through`."""

    symbol: Symbol
    since: date | None
    through: date


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one request; the source's answer decides over the breaker where it is the canary."""

    lease: datetime
    canary: bool


Outcome = PriceHistory | PriceSourceError


@functools.cache
def price_source() -> PriceSource:
    """The configured source, one a process."""
    if settings.PRICE_SOURCE == "csv":
        return CsvFolder(settings.PRICE_DIR)
    if settings.PRICE_SOURCE == "sample":
        return Simulation(seed=settings.SEED)
    # Loaded here, not above: yfinance costs a second and 50 MB, which processes that fetch nothing can do without.
    yahoo = import_string("forecasting.pipeline.yahoo.Yahoo")
    folder = settings.STATE_DIR / "yfinance"
    return cast("PriceSource", yahoo(base_url=settings.YAHOO_URL, cache_dir=folder, timeout_s=FETCH_SECONDS))


def is_paused() -> bool:
    """Whether the price source is left alone now."""
    return price_source().remote and Upstream.objects.filter(source=price_source().name).paused().exists()


def pause_between_requests() -> timedelta:
    """What the pace leaves between the starts of two requests."""
    return timedelta(minutes=1) / settings.UPSTREAM_REQUESTS_PER_MINUTE


def answers(questions: deque[Question], *, seconds: float) -> Iterator[tuple[Question, Outcome]]:
    """Each question with its answer, as they come, for at most `seconds`; a question that is added meanwhile is asked too.

    Requests run in threads that touch no database; everything else happens in the caller's. A question that is not answered in
    time is not heard of again, though its request may still be under way.
    """
    ends = time.monotonic() + seconds
    under_way: dict[Future[Outcome], tuple[Question, Permit | None]] = {}
    try:
        while (questions or under_way) and (left := ends - time.monotonic()) > 0:
            if error := _start(questions, under_way):
                yield from _refused(questions, error)
            _wait(under_way, seconds=min(left, POLL_SECONDS) if questions else left)
            for future in [future for future in under_way if future.done()]:
                question, permit = under_way.pop(future)
                _settle(permit, future.result())
                yield question, future.result()
    finally:
        for future, (_, permit) in under_way.items():
            if future.cancel():
                _settle(permit, None)


def _start(questions: deque[Question], under_way: dict[Future[Outcome], tuple[Question, Permit | None]]) -> PausedError | None:
    """Sends off as many questions as the source may be asked now; the error where it is left alone."""
    remote = price_source().remote
    while questions:
        permit = _take() if remote else None
        if remote and permit is None:
            return _why_paused(questions[0].symbol)
        question = questions.popleft()
        under_way[_fetchers.submit(_fetch, question)] = question, permit
    return None


def _refused(questions: deque[Question], error: PausedError) -> Iterator[tuple[Question, Outcome]]:
    while questions:
        question = questions.popleft()
        yield question, PausedError(question.symbol.ticker, error.reason)


def _wait(under_way: dict[Future[Outcome], Any], *, seconds: float) -> None:
    """Until a request is done, for at most that long."""
    if under_way:
        wait(under_way, timeout=seconds, return_when=FIRST_COMPLETED)
    else:
        time.sleep(seconds)


def _fetch(question: Question) -> Outcome:
    """Touches no database, so that it may run in a thread."""
    try:
        return price_source().fetch(question.symbol.ticker, since=question.since, through=question.through)
    except PriceSourceError as error:
        return error


def _take() -> Permit | None:
    """Leave for one request, None where pace, requests under way or the breaker do not allow it now."""
    values: dict[str, Any] = {
        "source": price_source().name,
        "pause": pause_between_requests(),
        "lease": timedelta(seconds=LEASE_SECONDS),
        "limit": settings.UPSTREAM_IN_FLIGHT,
    }
    with connection.cursor() as cursor:
        cursor.execute(TAKE, values)
        if (row := cursor.fetchone()) is None and _ensure_row():
            cursor.execute(TAKE, values)
            row = cursor.fetchone()
    return Permit(lease=row[0], canary=row[1]) if row else None


def _ensure_row() -> bool:
    """Whether the source's row was missing; it is there now."""
    if Upstream.objects.filter(source=price_source().name).exists():
        return False
    Upstream.objects.bulk_create([Upstream(source=price_source().name)], ignore_conflicts=True)
    return True


def _why_paused(symbol: Symbol) -> PausedError | None:
    upstream = Upstream.objects.filter(source=price_source().name).paused().first()
    if upstream is None or upstream.open_until is None:
        return None
    until = f"{upstream.open_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return PausedError(symbol.ticker, f"prices are not asked for until {until}, because {upstream.reason}")


def _settle(permit: Permit | None, outcome: Outcome | None) -> None:
    """Ends a permit and lets the answer, None where nothing was sent, count for the breaker.

    That a symbol is unknown or its data are bad is an answer as well: the source works.
    """
    if permit is None:
        return
    values: dict[str, Any] = {"source": price_source().name, "lease": permit.lease, "canary": permit.canary}
    with connection.cursor() as cursor:
        if outcome is None:
            cursor.execute(
                "UPDATE forecasting_upstream SET leases = array_remove(leases, %(lease)s) WHERE source = %(source)s", values
            )
        elif isinstance(outcome, RateLimitedError | UpstreamUnavailableError):
            _count_failure(outcome, values)
        else:
            cursor.execute(SUCCEED, values)
            if permit.canary:
                logger.info("price source asked again: the one request that was tried succeeded")


def _count_failure(error: PriceSourceError, values: dict[str, Any]) -> None:
    """Notes a failed request; opens the breaker where that is due."""
    limited = isinstance(error, RateLimitedError)
    first, longest = PAUSE_WHEN_LIMITED if limited else PAUSE_WHEN_FAILING
    values |= {"reason": error.reason, "first": first, "longest": longest, "enough": 1 if limited else FAILURES_TO_OPEN}
    with connection.cursor() as cursor:
        cursor.execute(FAIL, values)
        cursor.execute(OPEN, values)
        if row := cursor.fetchone():
            logger.warning("price source left alone until %s: %s", row[0].isoformat(timespec="seconds"), error.reason)
