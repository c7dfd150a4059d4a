"""Syncs bars: requests missing ones, compares the answer with the stored bars, and stores the difference."""

import logging
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_exponential_jitter

from forecasting.market import upstream
from forecasting.market.quotes import keep, old_quotes
from forecasting.market.rate_limit import pause_between_requests
from forecasting.market.stored import is_stale, last_date, recent_bars
from forecasting.market.storing import note_failure, store
from forecasting.market.upstream import Answer, Question
from forecasting.models import Symbol
from forecasting.models.locks import lock_symbols, wait_for_symbols
from forecasting.models.symbols import UpstreamState
from forecasting.prices.calendars import BAR_SETTLES, bar_due, last_completed_session
from forecasting.prices.restatements import continues
from forecasting.prices.sources import (
    BadDataError,
    PausedError,
    PriceHistory,
    PriceSourceError,
    UnknownSymbolError,
    UpstreamUnavailableError,
)

OVERLAP_BARS = 10  # stored bars fetched again by every sync, to detect restatements
EARLY = BAR_SETTLES / 2  # before a bar settles: how soon it is taken if its session is known to be over
RECHECK_AFTER = timedelta(minutes=10)  # minimum time between two lookups of one symbol by requests
SYNC_SECONDS = 40.0  # default limit of one sync, with all attempts
RESTATED = "the price source has changed earlier prices, which are not stored yet"  # about a quote
ATTEMPTS = 3
LONGEST_RETRY_PAUSE = 15  # seconds

logger = logging.getLogger(__name__)


def may_ask(symbol: Symbol, *, now: datetime) -> bool:
    """Whether a request may ask the price source about this symbol. Not if it was asked within RECHECK_AFTER, or if an "unknown
    symbol" answer still holds. A missing file of a local source is always looked up again, because it may be new."""
    if symbol.is_unknown(now=now):
        return False
    if symbol.upstream_state == UpstreamState.UNKNOWN and symbol.synced_at is None:
        return True
    return symbol.upstream_checked_at is None or now - symbol.upstream_checked_at >= RECHECK_AFTER


def sync(symbol: Symbol, *, now: datetime, ask_again: bool = False, seconds: float = SYNC_SECONDS) -> int:
    """Brings one symbol's bars up to its last completed session; returns the number of rows written.

    Transient errors are retried for at most `seconds`. An unexpired "unknown symbol" answer prevents the request, unless
    `ask_again` is set. Raises PriceSourceError after storing the reason with the symbol; the stored bars then stay unchanged.
    """
    if symbol.is_unknown(now=now) and not ask_again:
        raise UnknownSymbolError(symbol.ticker, symbol.upstream_reason)
    ends = time.monotonic() + seconds
    with lock_symbols([symbol], seconds=seconds) as mine:
        if not mine:
            raise UpstreamUnavailableError(
                symbol.ticker, "another process has been fetching its prices for too long; try again later"
            )
        return retrying(ends)(_sync_once, symbol, now=now, ends=ends)


def refresh(
    symbols: Sequence[Symbol], *, now: datetime, budget_s: float, early: bool = False, quotes_of: Collection[Symbol] = ()
) -> list[Symbol]:
    """Syncs stale symbols in parallel, in at most `budget_s` seconds. Returns those without an answer in time.

    After a failure the old bars stay, and the reason is stored with the symbol. If the price source is paused, the old bars stay
    too. Waits for symbols that another process is syncing. If another request of this process waits for a remote source, nothing is
    waited for.

    `early`: takes a session's bar EARLY before it settles, if the source says that the session is over, and asks at every call.
    `quotes_of`: symbols whose session is under way. Their quotes are asked for anew if they are too old, the oldest first. Those
    for which there was no time stay the oldest.
    """
    asked = symbols if early else [symbol for symbol in symbols if may_ask(symbol, now=now)]
    behind, priced = _behind(asked, now=now, early=early), old_quotes(quotes_of, now=now)
    if not priced and not behind:
        return []
    with upstream.deadline(budget_s) as ends:
        if ends <= time.monotonic():
            priced = []  # our locks would keep the request that waits from asking
            if not behind:
                return []
        wanted = list(dict.fromkeys([*priced, *behind]))
        with lock_symbols(wanted) as mine:
            # Checked again: another process may have stored them before we got the locks.
            priced = old_quotes([symbol for symbol in priced if symbol in mine], now=now)
            behind = _behind([symbol for symbol in behind if symbol in mine], now=now, early=early)
            newest = _newest([symbol for symbol in priced if symbol not in behind]) | behind
            priced = [symbol for symbol in priced if len(newest[symbol])]  # the others cannot be forecast
            stored = {symbol: newest[symbol] for symbol in [*priced, *behind]}
            questions = _questions(stored, now=now, early=early)
            answered: dict[Symbol, Answer] = {}
            if (seconds := ends - time.monotonic()) > 0:
                for symbol, answer, outcome in _brought(questions, stored, now=now, seconds=seconds, early=early):
                    answered[symbol] = answer
                    if isinstance(outcome, PriceSourceError):
                        logger.warning("prices not refreshed: %s", outcome, extra={"symbol": symbol.ticker})
                unsent = {question.symbol for question in questions}
                keep({symbol: answered.get(symbol) for symbol in priced if symbol not in unsent}, now=now)
        wait_for_symbols([symbol for symbol in wanted if symbol not in mine], ends=ends)
    late = [symbol for symbol in behind if symbol not in answered]
    # Mark them as asked, otherwise every request until the answer would ask again.
    Symbol.objects.filter(pk__in=[symbol.pk for symbol in late]).update(upstream_checked_at=now)
    return late


def retrying(ends: float) -> Retrying:
    """Retries transient errors until `ends`, with exponential backoff and jitter."""
    pause = pause_between_requests().total_seconds()
    return Retrying(
        retry=retry_if_exception(_may_pass),
        wait=wait_exponential_jitter(multiplier=pause, jitter=pause, max=LONGEST_RETRY_PAUSE),
        stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(max(0.0, ends - time.monotonic())),
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    """Whether the error is transient: a failure of a remote source, but neither a refusal nor a pause."""
    return isinstance(error, UpstreamUnavailableError) and not isinstance(error, PausedError) and upstream.is_remote()


def _sync_once(symbol: Symbol, *, now: datetime, ends: float) -> int:
    """One attempt; see `sync`."""
    behind = _behind([symbol], now=now)
    for _, _, outcome in _brought(_questions(behind, now=now), behind, now=now, seconds=ends - time.monotonic(), patient=True):
        if isinstance(outcome, PriceSourceError):
            raise outcome
        return outcome
    if behind:
        raise UpstreamUnavailableError(symbol.ticker, "the rate limit allowed no request in time; try again later")
    return 0


def _behind(symbols: Iterable[Symbol], *, now: datetime, early: bool = False) -> dict[Symbol, pd.DataFrame]:
    """The newest stored bars of each stale symbol. One query."""
    return {symbol: bars for symbol, bars in _newest(symbols).items() if _is_behind(symbol, bars, now=now, early=early)}


def _newest(symbols: Iterable[Symbol]) -> dict[Symbol, pd.DataFrame]:
    """The newest stored bars of each symbol, which each sync repeats. One query."""
    wanted = list(symbols)
    stored = recent_bars(wanted, count=OVERLAP_BARS)
    return {symbol: stored[symbol.pk] for symbol in wanted}


def _is_behind(symbol: Symbol, stored: pd.DataFrame, *, now: datetime, early: bool = False) -> bool:
    return is_stale(symbol, last_date(stored), now=now + EARLY if early else now)


def _questions(stored: Mapping[Symbol, pd.DataFrame], *, now: datetime, early: bool = False) -> deque[Question]:
    return deque(first_question(symbol, bars, now=now + EARLY if early else now) for symbol, bars in stored.items())


def _brought(
    questions: deque[Question],
    stored: Mapping[Symbol, pd.DataFrame],
    *,
    now: datetime,
    seconds: float,
    early: bool = False,
    patient: bool = False,
) -> Iterator[tuple[Symbol, Answer, int | PriceSourceError]]:
    """Asks the questions, which lose those that were sent, and stores the bars of each answer if any is missing.

    Yields the answer, and the number of rows written or the error, as answers arrive. The first request covers newer bars with an
    overlap. If the overlap differs from the stored bars, the past was restated, and the whole history is requested.
    """
    for question, outcome in upstream.answers(questions, seconds=seconds, patient=patient):
        symbol, bars = question.symbol, stored[question.symbol]
        is_behind = _is_behind(symbol, bars, now=now, early=early)
        restated = question.since is not None and _is_restated(symbol, bars, outcome)
        if restated and (is_behind or may_ask(symbol, now=now)):
            questions.appendleft(replace(question, since=None))
        elif question.since is None or is_behind:
            yield symbol, outcome, kept(question, _finished(question, outcome, now=now), now=now)
        elif restated and isinstance(outcome, PriceHistory):  # its whole history has just been refused
            yield symbol, replace(outcome, quote=None, quote_problem=RESTATED), 0
        else:  # only its quote was asked for
            yield symbol, outcome, outcome if isinstance(outcome, PriceSourceError) else 0


def _finished(question: Question, outcome: Answer, *, now: datetime) -> Answer:
    """The answer without a bar that has not settled yet, unless the last trade was not before the close."""
    settles = bar_due(question.symbol.calendar, question.through)
    if not isinstance(outcome, PriceHistory) or settles <= now:
        return outcome
    if outcome.traded_until is not None and outcome.traded_until >= settles - BAR_SETTLES:
        return outcome
    return replace(outcome, bars=outcome.bars[outcome.bars.index < pd.Timestamp(question.through)])


def first_question(symbol: Symbol, stored: pd.DataFrame, *, now: datetime) -> Question:
    """Asks for newer bars with an overlap; for the whole history if none are stored."""
    since = stored.index[0].date() if len(stored) else None
    return Question(symbol, since=since, through=last_completed_session(symbol.calendar, now=now))


def _is_restated(symbol: Symbol, stored: pd.DataFrame, outcome: Answer) -> bool:
    """Whether the answer does not continue the stored bars: other prices, or another unit."""
    if not isinstance(outcome, PriceHistory):
        return False
    other_unit = symbol.synced_at is not None and outcome.currency != symbol.currency
    return other_unit or not continues(stored, outcome.bars)


def kept(question: Question, outcome: Answer, *, now: datetime) -> int | PriceSourceError:
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
