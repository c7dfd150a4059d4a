"""Bars in the database: brought up to date from the price source, read back as the bars contract."""

import functools
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import cast

import numpy as np
import pandas as pd
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.module_loading import import_string

from forecasting.models import PriceBar, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.pipeline import bars as contract
from forecasting.pipeline.calendars import last_completed_session
from forecasting.pipeline.simulation import Simulation
from forecasting.pipeline.sources import (
    BadDataError,
    CsvFolder,
    PriceHistory,
    PriceSource,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
)

OVERLAP_BARS = 10  # fetched again with every increment, to notice that the past was restated
RESTATEMENT_TOLERANCE = 1e-4  # relative; the rounding noise of adjusted prices lies far below it
KEPT_SHARE = 0.9  # of the stored bars; a restated history with fewer of them is taken for an incomplete answer
RECHECK_AFTER = timedelta(minutes=10)  # a request does not ask the price source about one symbol more often
BATCH_ROWS = 2000
SYMBOL_LOCK = 0x53594D42  # first key of the advisory locks taken while one symbol's bars are written

logger = logging.getLogger(__name__)
_fetchers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="prices")


@dataclass(frozen=True, slots=True)
class Answer:
    """The price source's bars of one symbol: its whole history, or the overlap and what is newer."""

    history: PriceHistory
    whole: bool


@functools.cache
def price_source() -> PriceSource:
    """The configured source, one a process."""
    if settings.PRICE_SOURCE == "csv":
        return CsvFolder(settings.PRICE_DIR)
    if settings.PRICE_SOURCE == "sample":
        return Simulation(seed=settings.SEED)
    # Loaded here, not above: yfinance costs a second and 50 MB, which processes that fetch nothing can do without.
    yahoo = import_string("forecasting.pipeline.yahoo.Yahoo")
    return cast("PriceSource", yahoo(base_url=settings.YAHOO_URL, cache_dir=settings.STATE_DIR / "yfinance"))


def is_stale(symbol: Symbol, last_bar: date | None, *, now: datetime) -> bool:
    """Whether a completed session's bar is missing."""
    return last_bar is None or last_bar < last_completed_session(symbol.exchange, now=now)


def may_ask(symbol: Symbol, *, now: datetime) -> bool:
    """Whether a request may ask the price source about this symbol: not if somebody did a moment ago."""
    return symbol.upstream_checked_at is None or now - symbol.upstream_checked_at >= RECHECK_AFTER


def sync(symbol: Symbol, *, now: datetime) -> int:
    """Brings one symbol's bars up to its last completed session; returns how many rows it wrote.

    Raises PriceSourceError after noting the reason with the symbol; the stored bars are then as before.
    """
    stored = recent_bars([symbol], count=OVERLAP_BARS)[symbol.pk]
    if not is_stale(symbol, _last(stored), now=now):
        return 0
    return _store(symbol, stored, _ask(symbol, stored, now=now), now=now)


def refresh(symbols: Sequence[Symbol], *, now: datetime, budget_s: float) -> list[Symbol]:
    """Brings the symbols that are behind up to date, in parallel, in at most `budget_s` seconds.

    A failure leaves the old bars, and its reason with the symbol. Returns the symbols that were not answered in time.
    """
    due = [symbol for symbol in symbols if may_ask(symbol, now=now)]
    stored = recent_bars(due, count=OVERLAP_BARS)
    behind = [symbol for symbol in due if is_stale(symbol, _last(stored[symbol.pk]), now=now)]
    asked = {_fetchers.submit(_ask, symbol, stored[symbol.pk], now=now): symbol for symbol in behind}
    done, late = wait(asked, timeout=budget_s)
    for future in done:
        symbol = asked[future]
        try:
            _store(symbol, stored[symbol.pk], future.result(), now=now)
        except PriceSourceError as error:
            logger.warning("prices not refreshed: %s", error, extra={"symbol": symbol.ticker})
    for future in late:
        future.cancel()
    unanswered = [asked[future] for future in late]
    if unanswered:  # they count as asked, else every request until the answer would ask again
        Symbol.objects.filter(pk__in=[symbol.pk for symbol in unanswered]).update(upstream_checked_at=now)
    return unanswered


def bars(symbol: Symbol) -> pd.DataFrame:
    """One symbol's whole history as the bars contract; empty where nothing is stored."""
    return _frame(PriceBar.objects.of(symbol).values_list("date", *contract.COLUMNS))


def recent_bars(symbols: Iterable[Symbol], *, count: int) -> dict[int, pd.DataFrame]:
    """The last `count` bars of each symbol, by its primary key. One query, an index scan a symbol."""
    ids = [symbol.pk for symbol in symbols]
    query = """
        SELECT wanted.id, bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume
        FROM unnest(%s::bigint[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT * FROM forecasting_pricebar WHERE symbol_id = wanted.id ORDER BY date DESC LIMIT %s
        ) AS bar
        ORDER BY wanted.id, bar.date
    """
    rows: dict[int, list[tuple[date | float, ...]]] = {each: [] for each in ids}
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(query, [ids, count])
            for symbol_id, *row in cursor:
                rows[symbol_id].append(tuple(row))
    return {symbol_id: _frame(bar_rows) for symbol_id, bar_rows in rows.items()}


def _frame(rows: Iterable[tuple[date | float, ...]]) -> pd.DataFrame:
    """Database rows (date, open, high, low, close, volume) as the bars contract."""
    listed = list(rows)
    if not listed:
        return contract.empty()
    dates = pd.DatetimeIndex(np.array([row[0] for row in listed], dtype="datetime64[us]"), name="date")
    return pd.DataFrame(np.array([row[1:] for row in listed], dtype=float), index=dates, columns=list(contract.COLUMNS))


def _last(stored: pd.DataFrame) -> date | None:
    return stored.index[-1].date() if len(stored) else None


def _ask(symbol: Symbol, stored: pd.DataFrame, *, now: datetime) -> Answer | PriceSourceError:
    """Asks for what is newer than the stored bars, or for everything where the past was restated.

    Touches no database, so that it may run in a thread.
    """
    through = last_completed_session(symbol.exchange, now=now)
    try:
        if len(stored):
            since = stored.index[0].date()
            history = price_source().fetch(symbol.ticker, since=since, through=through)
            if _agree(stored, history.bars):
                return Answer(history, whole=False)
        return Answer(price_source().fetch(symbol.ticker, since=None, through=through), whole=True)
    except PriceSourceError as error:
        return error


def _agree(stored: pd.DataFrame, fetched: pd.DataFrame) -> bool:
    """Whether the fetched bars repeat the stored ones: nothing was split, paid out or corrected since."""
    if not stored.index.isin(fetched.index).all():
        return False
    return np.allclose(fetched.loc[stored.index, "close"], stored["close"], rtol=RESTATEMENT_TOLERANCE, atol=0)


def _complete(symbol: Symbol, stored: pd.DataFrame, answer: Answer) -> Answer | PriceSourceError:
    """The answer, or an error where it would replace the stored history by one that lacks much of it."""
    if not answer.whole or stored.empty:
        return answer
    sent, held = answer.history.bars, PriceBar.objects.of(symbol).count()
    if len(sent) >= KEPT_SHARE * held and sent.index[-1] >= stored.index[-1]:
        return answer
    found = f"{len(sent)} bars where {held} up to {_last(stored)} are stored"
    return BadDataError(symbol.ticker, f"the price source sent only {found}; the stored ones are kept, try again later")


def _store(symbol: Symbol, stored: pd.DataFrame, answer: Answer | PriceSourceError, *, now: datetime) -> int:
    """Writes an answer in one transaction; returns the number of rows written. Raises its error after noting it."""
    if isinstance(answer, Answer):
        answer = _complete(symbol, stored, answer)
    if isinstance(answer, PriceSourceError):
        _note(symbol, state=_state_of(answer), reason=answer.reason, now=now)
        raise answer
    fresh = answer.history.bars
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [SYMBOL_LOCK, symbol.pk])
        mine = PriceBar.objects.of(symbol)
        if mine.aggregate(last=Max("date"))["last"] != _last(stored):
            return 0  # another process stored its answer meanwhile
        if answer.whole:
            mine.delete()
        elif len(stored):
            fresh = fresh[fresh.index > stored.index[-1]]
        rows = [PriceBar(symbol=symbol, date=day.date(), **values) for day, values in _records(fresh)]
        PriceBar.objects.bulk_create(rows, batch_size=BATCH_ROWS)
        symbol.currency = answer.history.currency or symbol.currency
        symbol.synced_at = now
        _note(symbol, state=UpstreamState.OK, reason="", now=now)
    if rows:
        logger.info("%d bars stored, to %s", len(rows), rows[-1].date, extra={"symbol": symbol.ticker})
    return len(rows)


def _records(frame: pd.DataFrame) -> Iterable[tuple[pd.Timestamp, dict[str, float]]]:
    """Each session with its prices and volume."""
    return zip(frame.index, frame[list(contract.COLUMNS)].to_dict("records"), strict=True)  # type: ignore[arg-type] # str keys


def _state_of(error: PriceSourceError) -> UpstreamState:
    states = {
        UnknownSymbolError: UpstreamState.UNKNOWN,
        RateLimitedError: UpstreamState.RATE_LIMITED,
        BadDataError: UpstreamState.BAD_DATA,
    }
    return states.get(type(error), UpstreamState.UNAVAILABLE)


def _note(symbol: Symbol, *, state: UpstreamState, reason: str, now: datetime) -> None:
    """Keeps what the price source said. Currency and time of the sync change only with an answer: the object may be old."""
    symbol.upstream_state, symbol.upstream_reason, symbol.upstream_checked_at = state, reason, now
    fields = ["upstream_state", "upstream_reason", "upstream_checked_at"]
    symbol.save(update_fields=[*fields, "currency", "synced_at"] if state == UpstreamState.OK else fields)
