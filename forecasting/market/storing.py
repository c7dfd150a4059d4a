"""What a sync writes: new bars, restated histories, and what the price source said of a symbol."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
from django.db import connection, transaction

from forecasting.market.exchanges import exchange_of_answer
from forecasting.market.gate import judged, keep_findings, keep_refusal
from forecasting.market.locks import SYMBOL_LOCK
from forecasting.market.stored import bars, last_date, recent_bars
from forecasting.market.upstream import price_source
from forecasting.models import ModelVersion, PriceBar, Restatement, Symbol
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

KEPT_SHARE = 0.9  # of the stored bars; a restated history with fewer of them is taken for an incomplete answer
UNKNOWN_FOR = timedelta(days=1), timedelta(days=7)  # the first answer that there is no such symbol stands, and every later one

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What of an answer is stored now, how many bars of it were written, and why the newest ones wait; empty if they do not."""

    bars: pd.DataFrame
    written: int
    held: str = ""


def store(symbol: Symbol, history: PriceHistory, *, whole: bool, now: datetime) -> Stored:
    """Writes what of an answer the quality gate lets through, in one transaction. Every bar that is ever stored comes through here.

    `whole`: it is the symbol's whole history, which replaces the stored one where they differ; otherwise it begins with stored
    bars, which it repeats but for the newest ones. Raises BadDataError if the gate refuses it, or it cannot take the place of
    what is stored.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [SYMBOL_LOCK, symbol.pk])
            # Nobody waits for the disk: if the machine fails in that instant, the prices are fetched again.
            cursor.execute("SET LOCAL synchronous_commit TO off")
        symbol.exchange = exchange_of_answer(symbol, history, whole=whole)
        written, checked = (_store_whole if whole else _store_newest)(symbol, history, now)
        symbol.currency = history.currency or symbol.currency
        if checked.held:
            _note(symbol, state=UpstreamState.BAD_DATA, reason=checked.held, now=now)
        else:
            symbol.synced_at = now
            _note(symbol, state=UpstreamState.OK, reason="", now=now)
    return Stored(checked.bars, written, checked.held)


def note_failure(symbol: Symbol, error: PriceSourceError, *, now: datetime) -> None:
    """Keeps with the symbol why its prices could not be had; a source that was not asked has said nothing."""
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
    """Judges new bars together with the stored ones that a verdict on them may depend on, or with all if one on those changes."""
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
    """The stored bars up to those that were sent again."""
    continued: pd.DataFrame = pd.concat([stored[stored.index < sent.index[0]], sent])
    return continued


def _refuse_incomplete(symbol: Symbol, stored: pd.DataFrame, sent: pd.DataFrame) -> None:
    if stored.empty or (len(sent) >= KEPT_SHARE * len(stored) and sent.index.max() >= stored.index[-1]):
        return
    found = f"{len(sent)} bars where {len(stored)} up to {last_date(stored)} are stored"
    raise BadDataError(symbol.ticker, f"the price source sent only {found}; the stored ones are kept, try again later")


def _refuse_other_unit(symbol: Symbol, stored: pd.DataFrame, history: PriceHistory, found: Sequence[Change]) -> None:
    """Refuses prices all of which are a hundred times as large or small as before, unless the source names another currency."""
    if history.currency != symbol.currency or not found or found[0].reason != Reason.UNIT or found[0].bars < len(stored):
        return
    text = f"all prices are {found[0].ratio:.6g} times the stored ones, still in {history.currency}: a wrong unit"
    raise BadDataError(symbol.ticker, f"{text}; the stored bars are kept, try again later")


def _note_restatements(symbol: Symbol, found: Sequence[Change], *, now: datetime) -> None:
    """Keeps what changed, and has the model trained again if that matters to it."""
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
    """Makes stored bars those of `fresh` where they differ; returns how many it wrote."""
    added = fresh.index.difference(stored.index)
    changed = differing(stored, fresh)
    outdated = stored.index.difference(fresh.index).union(changed)
    if len(outdated):
        PriceBar.objects.of(symbol).filter(date__in=[session.date() for session in outdated]).delete()
    return _insert(symbol, fresh.loc[added.union(changed)])


def _insert(symbol: Symbol, fresh: pd.DataFrame) -> int:
    """One COPY of one text, thirty times as fast as INSERT for a whole history. Python writes floats so that they are read back
    as they were."""
    if fresh.empty:
        return 0
    columns = list(contract.COLUMNS)
    statement = f"COPY forecasting_pricebar (symbol_id, date, {', '.join(columns)}) FROM STDIN"
    days = fresh.index.to_numpy().astype("datetime64[D]").astype(str).tolist()
    rows = zip(days, *(fresh[column].tolist() for column in columns), strict=True)
    text = "".join(f"{symbol.pk}\t{day}\t{o}\t{high}\t{low}\t{close}\t{volume}\n" for day, o, high, low, close, volume in rows)
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text)
    logger.info("%d bars stored, to %s", len(fresh), last_date(fresh), extra={"symbol": symbol.ticker})
    return len(fresh)


def _state_of(error: PriceSourceError) -> UpstreamState:
    states = {
        UnknownSymbolError: UpstreamState.UNKNOWN,
        RateLimitedError: UpstreamState.RATE_LIMITED,
        BadDataError: UpstreamState.BAD_DATA,
    }
    return states.get(type(error), UpstreamState.UNAVAILABLE)


def _note(symbol: Symbol, *, state: UpstreamState, reason: str, now: datetime) -> None:
    """Keeps what the price source said. Exchange, currency and time of the sync change only with bars: the object may be old."""
    symbol.upstream_state, symbol.upstream_reason, symbol.upstream_checked_at = state, reason, now
    fields = ["upstream_state", "upstream_reason", "upstream_checked_at"]
    if state == UpstreamState.UNKNOWN and price_source().remote:
        symbol.unknown_until = now + UNKNOWN_FOR[min(symbol.unknown_answers, 1)]
        symbol.unknown_answers += 1
        fields += ["unknown_until", "unknown_answers"]
    if state == UpstreamState.OK:
        symbol.unknown_until, symbol.unknown_answers = None, 0
        fields += ["unknown_until", "unknown_answers", "exchange", "currency", "synced_at"]
    symbol.save(update_fields=fields)
