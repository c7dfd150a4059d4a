"""Stores a price source's answer: new bars, restated histories, and the symbol's upstream state."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from django.db import connection, transaction

from forecasting.market.exchanges import exchange_of_answer
from forecasting.market.gate import judged, keep_findings, keep_refusal
from forecasting.market.stored import bars, last_date, recent_bars
from forecasting.market.upstream import is_remote
from forecasting.models import ModelVersion, PriceBar, Restatement, Symbol
from forecasting.models.locks import lock_symbol_until_commit
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason
from forecasting.prices import bars as contract
from forecasting.prices.quality import CONTEXT, Checked
from forecasting.prices.restatements import RESCALING, Change, Reason, changes, differing
from forecasting.prices.sources import (
    BadDataError,
    PausedError,
    PriceHistory,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
)
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests

KEPT_SHARE = 0.9  # of the stored bars; a restated history with fewer bars counts as incomplete
UNKNOWN_FOR = timedelta(days=1), timedelta(days=7)  # how long an "unknown symbol" answer holds: the first one, each later one

# The binary format of COPY, see "File Formats" in the documentation of Postgres. Numbers are big-endian, dates are days.
COPIED = {"symbol_id": ">i8", "date": ">i4"} | dict.fromkeys(contract.COLUMNS, ">f8")
COPY_FIELDS = [field for name, kind in COPIED.items() for field in ((f"{name}_size", ">i4"), (name, kind))]
COPY_ROW = np.dtype([("columns", ">i2"), *COPY_FIELDS])
COPY_HEADER, COPY_TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
POSTGRES_EPOCH = np.datetime64("2000-01-01", "D")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored bars, the number of bars written, and why the newest bars are held back (empty if they are not)."""

    bars: pd.DataFrame
    written: int
    held: str = ""


def store(symbol: Symbol, history: PriceHistory, *, whole: bool, now: datetime) -> Stored:
    """Stores the bars that pass the quality gate, in one transaction. This function is the only writer of bars.

    `whole`: the answer is the symbol's whole history and replaces stored bars that differ. Otherwise it repeats the newest stored
    bars and continues them. Raises BadDataError if the gate refuses the answer, or if it cannot replace the stored history.
    """
    with transaction.atomic():
        lock_symbol_until_commit(symbol)
        with connection.cursor() as cursor:
            # Do not wait for the disk: prices lost in a crash are fetched again.
            cursor.execute("SET LOCAL synchronous_commit TO off")
        symbol.exchange = exchange_of_answer(symbol, history, whole=whole)
        written, checked = (_store_whole if whole else _store_newest)(symbol, history, now)
        symbol.currency = history.currency or symbol.currency
        symbol.instrument = history.instrument or symbol.instrument
        if checked.held:
            _note(symbol, state=UpstreamState.BAD_DATA, reason=checked.held, now=now)
        else:
            symbol.synced_at = now
            _note(symbol, state=UpstreamState.OK, reason="", now=now)
    return Stored(checked.bars, written, checked.held)


def note_failure(symbol: Symbol, error: PriceSourceError, *, now: datetime) -> None:
    """Stores with the symbol why no prices came. A paused source changes nothing, because no request was sent."""
    if isinstance(error, BadDataError):
        keep_refusal(symbol, error)
    if isinstance(error, UnknownSymbolError) and not PriceBar.objects.of(symbol).exists():
        training_queue.fail_waiting(symbol, error=error.reason)
    if not isinstance(error, PausedError):
        _note(symbol, state=_state_of(error), reason=error.reason, now=now)


def _store_whole(symbol: Symbol, history: PriceHistory, now: datetime) -> tuple[int, Checked]:
    checked = judged(symbol, history.bars, whole=True, now=now)
    keep_findings(symbol, checked.findings, since=None)
    stored = bars(symbol)
    _refuse_incomplete(symbol, stored, history.bars)
    found = changes(stored, checked.bars, exchange=symbol.calendar)
    _refuse_other_unit(symbol, stored, history, found)
    _note_restatements(symbol, found, now=now)
    if any(change.reason in RESCALING for change in found):
        PriceBar.objects.of(symbol).delete()
        return _insert(symbol, checked.bars), checked
    return _write(symbol, stored, checked.bars), checked


def _store_newest(symbol: Symbol, history: PriceHistory, now: datetime) -> tuple[int, Checked]:
    """Checks new bars together with the stored bars that affect their check. If a stored bar's result changes, checks all bars."""
    first = history.bars.index[0] if len(history.bars) else None
    context = recent_bars([symbol], count=CONTEXT)[symbol.pk]
    if first is None:
        return 0, Checked(context, [])
    checked = judged(symbol, _continued(context, history.bars), whole=False, now=now)
    before = context[context.index < first]
    if not checked.bars[checked.bars.index < first].index.equals(before.index):
        context = bars(symbol)
        checked = judged(symbol, _continued(context, history.bars), whole=True, now=now)
        keep_findings(symbol, checked.findings, since=None)
        return _write(symbol, context, checked.bars), checked
    keep_findings(symbol, checked.findings, since=first.date())
    return _write(symbol, context[context.index >= first], checked.bars[checked.bars.index >= first]), checked


def _continued(stored: pd.DataFrame, sent: pd.DataFrame) -> pd.DataFrame:
    """The stored bars before the first sent bar, then the sent bars."""
    continued: pd.DataFrame = pd.concat([stored[stored.index < sent.index[0]], sent])
    return continued


def _refuse_incomplete(symbol: Symbol, stored: pd.DataFrame, sent: pd.DataFrame) -> None:
    if stored.empty or (len(sent) >= KEPT_SHARE * len(stored) and sent.index.max() >= stored.index[-1]):
        return
    found = f"{len(sent)} bars, but {len(stored)} up to {last_date(stored)} are stored"
    raise BadDataError(symbol.ticker, f"the price source sent only {found}; the stored ones are kept, try again later")


def _refuse_other_unit(symbol: Symbol, stored: pd.DataFrame, history: PriceHistory, found: Sequence[Change]) -> None:
    """Refuses an answer whose prices are all a hundred times larger or smaller, unless the source names another currency."""
    if history.currency != symbol.currency or not found or found[0].reason != Reason.UNIT or found[0].bars < len(stored):
        return
    text = f"all prices are {found[0].ratio:.6g} times the stored ones, still in {history.currency}: a wrong unit"
    raise BadDataError(symbol.ticker, f"{text}; the stored bars are kept, try again later")


def _note_restatements(symbol: Symbol, found: Sequence[Change], *, now: datetime) -> None:
    """Stores the restatements, and requests a retraining if one of them matters."""
    Restatement.objects.bulk_create(
        Restatement(
            symbol=symbol,
            reason=each.reason.value,
            date=each.date,
            ratio=each.ratio,
            bars_changed=each.bars,
            matters=each.matters,
        )
        for each in found
    )
    for each in found:
        logger.info("%d bars restated: %s of %s", each.bars, each.reason, each.date, extra={"symbol": symbol.ticker})
    if any(each.matters for each in found) and ModelVersion.objects.active().of([symbol]).exists():
        training_requests.request_unless_cooling_down([symbol], reason=TrainingReason.DATA_REVISED, now=now)


def _write(symbol: Symbol, stored: pd.DataFrame, fresh: pd.DataFrame) -> int:
    """Updates stored bars that differ from `fresh`; returns the number of bars written."""
    added = fresh.index.difference(stored.index)
    changed = differing(stored, fresh)
    outdated = stored.index.difference(fresh.index).union(changed)
    if len(outdated):
        PriceBar.objects.of(symbol).filter(date__in=[session.date() for session in outdated]).delete()
    return _insert(symbol, fresh.loc[added.union(changed)])


def _insert(symbol: Symbol, fresh: pd.DataFrame) -> int:
    """Writes bars with one COPY, many times faster than INSERT for a whole history."""
    if fresh.empty:
        return 0
    statement = f"COPY forecasting_pricebar ({', '.join(COPIED)}) FROM STDIN (FORMAT BINARY)"
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(COPY_HEADER + _binary_rows(symbol, fresh) + COPY_TRAILER)
    logger.info("%d bars stored, to %s", len(fresh), last_date(fresh), extra={"symbol": symbol.ticker})
    return len(fresh)


def _binary_rows(symbol: Symbol, fresh: pd.DataFrame) -> bytes:
    """The bars in the binary format of COPY: for each row the number of its columns, for each column its size and its value."""
    rows = np.zeros(len(fresh), COPY_ROW)
    rows["columns"] = len(COPIED)
    for name, kind in COPIED.items():
        rows[f"{name}_size"] = np.dtype(kind).itemsize
    rows["symbol_id"] = symbol.pk
    rows["date"] = (fresh.index.to_numpy().astype("datetime64[D]") - POSTGRES_EPOCH).astype(int)
    for name in contract.COLUMNS:
        rows[name] = fresh[name].to_numpy()
    return rows.tobytes()


def _state_of(error: PriceSourceError) -> UpstreamState:
    states = {
        UnknownSymbolError: UpstreamState.UNKNOWN,
        RateLimitedError: UpstreamState.RATE_LIMITED,
        BadDataError: UpstreamState.BAD_DATA,
    }
    return states.get(type(error), UpstreamState.UNAVAILABLE)


def _note(symbol: Symbol, *, state: UpstreamState, reason: str, now: datetime) -> None:
    """Stores the upstream state. What the source says of the symbol is saved only with state OK: the object may be outdated."""
    symbol.upstream_state, symbol.upstream_reason, symbol.upstream_checked_at = state, reason, now
    fields = ["upstream_state", "upstream_reason", "upstream_checked_at"]
    if state == UpstreamState.UNKNOWN and is_remote():
        symbol.unknown_until = now + UNKNOWN_FOR[min(symbol.unknown_answers, 1)]
        symbol.unknown_answers += 1
        fields += ["unknown_until", "unknown_answers"]
    if state == UpstreamState.OK:
        symbol.unknown_until, symbol.unknown_answers = None, 0
        fields += ["unknown_until", "unknown_answers", "exchange", "currency", "instrument", "synced_at"]
    symbol.save(update_fields=fields)
