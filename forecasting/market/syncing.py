"""Syncs: which bars are asked for, how the answer is compared with the stored ones, and what is then written."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_exponential_jitter

from forecasting.market import upstream
from forecasting.market.locks import held, wait_for_others
from forecasting.market.rate_limit import pause_between_requests
from forecasting.market.stored import is_stale, last_date, recent_bars
from forecasting.market.storing import note_failure, store
from forecasting.market.upstream import Answer, Question
from forecasting.models import Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.prices.calendars import last_completed_session
from forecasting.prices.restatements import continues
from forecasting.prices.sources import (
    BadDataError,
    PausedError,
    PriceHistory,
    PriceSourceError,
    UnknownSymbolError,
    UpstreamUnavailableError,
)

OVERLAP_BARS = 10  # fetched again with every increment, to notice that the past was restated
RECHECK_AFTER = timedelta(minutes=10)  # a request does not ask the price source about one symbol more often
SYNC_SECONDS = 40  # of one sync with all its attempts: well below a training's lease, which is not renewed meanwhile
ATTEMPTS = 3
LONGEST_RETRY_PAUSE = 15  # seconds

logger = logging.getLogger(__name__)


def may_ask(symbol: Symbol, *, now: datetime) -> bool:
    """Whether a request may ask the price source about this symbol: not if it said a moment ago what it has, or lately that it
    has none. If a source on this machine never had any, it may always be asked: somebody may just have added the file."""
    if symbol.is_unknown(now=now):
        return False
    if symbol.upstream_state == UpstreamState.UNKNOWN and symbol.synced_at is None:
        return True
    return symbol.upstream_checked_at is None or now - symbol.upstream_checked_at >= RECHECK_AFTER


def sync(symbol: Symbol, *, now: datetime, ask_again: bool = False) -> int:
    """Brings one symbol's bars up to its last completed session; returns how many rows it wrote.

    What may pass is tried again, in at most SYNC_SECONDS. A symbol that the source did not know is not asked for while that answer
    stands, unless with `ask_again`. Raises PriceSourceError after noting the reason with the symbol; the stored bars are then as
    before.
    """
    if symbol.is_unknown(now=now) and not ask_again:
        raise UnknownSymbolError(symbol.ticker, symbol.upstream_reason)
    ends = time.monotonic() + SYNC_SECONDS
    with held([symbol], seconds=SYNC_SECONDS) as mine:
        if not mine:
            raise UpstreamUnavailableError(
                symbol.ticker, "another process has been fetching its prices for too long; try again later"
            )
        return _retrying(ends)(_sync_once, symbol, now=now, ends=ends)


def refresh(symbols: Sequence[Symbol], *, now: datetime, budget_s: float) -> list[Symbol]:
    """Brings the symbols that are behind up to date, in parallel, in at most `budget_s` seconds.

    A failure leaves the old bars, and its reason with the symbol; so does a price source that is left alone now. What another
    process fetches is waited for. Returns the symbols that were not answered in time.
    """
    ends = time.monotonic() + budget_s
    behind = list(_behind([symbol for symbol in symbols if may_ask(symbol, now=now)], now=now))
    if not behind:
        return []
    with held(behind) as mine:
        stored = _behind(mine, now=now)  # again: another process may have stored them until the locks were ours
        unanswered = {symbol.pk: symbol for symbol in stored}
        for symbol, outcome in _brought(stored, now=now, seconds=budget_s):
            del unanswered[symbol.pk]
            if isinstance(outcome, PriceSourceError):
                logger.warning("prices not refreshed: %s", outcome, extra={"symbol": symbol.ticker})
    wait_for_others([symbol for symbol in behind if symbol not in mine], ends=ends)
    # They count as asked, else every request until the answer would ask again.
    Symbol.objects.filter(pk__in=unanswered).update(upstream_checked_at=now)
    return list(unanswered.values())


def _retrying(ends: float) -> Retrying:
    """Tries again what may pass, after pauses that grow and differ, as long as there is time."""
    pause = pause_between_requests().total_seconds()
    return Retrying(
        retry=retry_if_exception(_may_pass),
        wait=wait_exponential_jitter(multiplier=pause, jitter=pause, max=LONGEST_RETRY_PAUSE),
        stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(max(0.0, ends - time.monotonic())),
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed: what a remote source failed at, but for what it refused or was not asked."""
    return isinstance(error, UpstreamUnavailableError) and not isinstance(error, PausedError) and upstream.price_source().remote


def _sync_once(symbol: Symbol, *, now: datetime, ends: float) -> int:
    """One attempt; see `sync`."""
    behind = _behind([symbol], now=now)
    for _, outcome in _brought(behind, now=now, seconds=ends - time.monotonic()):
        if isinstance(outcome, PriceSourceError):
            raise outcome
        return outcome
    if behind:
        raise UpstreamUnavailableError(symbol.ticker, "the price source may not be asked that fast; try again later")
    return 0


def _behind(symbols: Iterable[Symbol], *, now: datetime) -> dict[Symbol, pd.DataFrame]:
    """The newest bars of those symbols that lack the bar of a completed session. One query."""
    wanted = list(symbols)
    stored = recent_bars(wanted, count=OVERLAP_BARS)
    return {symbol: stored[symbol.pk] for symbol in wanted if is_stale(symbol, last_date(stored[symbol.pk]), now=now)}


def _brought(
    stored: Mapping[Symbol, pd.DataFrame], *, now: datetime, seconds: float
) -> Iterator[tuple[Symbol, int | PriceSourceError]]:
    """Stores what each symbol lacks beyond its newest stored bars; yields how many rows that wrote, or why it failed, as answers
    come.

    First what is newer is asked for, with an overlap; where that differs from what is stored, the past was restated, and the whole
    history is asked for.
    """
    questions = deque(_first_question(symbol, bars, now=now) for symbol, bars in stored.items())
    for question, outcome in upstream.answers(questions, seconds=seconds):
        symbol, bars = question.symbol, stored[question.symbol]
        if question.since is not None and _is_restated(symbol, bars, outcome):
            questions.appendleft(replace(question, since=None))
            continue
        yield symbol, _kept(question, outcome, now=now)


def _first_question(symbol: Symbol, stored: pd.DataFrame, *, now: datetime) -> Question:
    since = stored.index[0].date() if len(stored) else None
    return Question(symbol, since=since, through=last_completed_session(symbol.calendar, now=now))


def _is_restated(symbol: Symbol, stored: pd.DataFrame, outcome: Answer) -> bool:
    """Whether the answer does not continue the stored bars: other prices, or another unit."""
    if not isinstance(outcome, PriceHistory):
        return False
    other_unit = symbol.synced_at is not None and outcome.currency != symbol.currency
    return other_unit or not continues(stored, outcome.bars)


def _kept(question: Question, outcome: Answer, *, now: datetime) -> int | PriceSourceError:
    """Stores an answer, or notes its error."""
    if isinstance(outcome, PriceHistory):
        try:
            stored = store(question.symbol, outcome, whole=question.since is None, now=now)
        except PriceSourceError as error:
            outcome = error
        else:
            return BadDataError(question.symbol.ticker, stored.held) if stored.held else stored.written
    note_failure(question.symbol, outcome, now=now)
    return outcome
