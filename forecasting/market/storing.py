"""What a sync writes: new bars, restated histories, and what the price source said of a symbol."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd
from django.db import connection, transaction

from forecasting import training_queue, training_requests
from forecasting.market.gate import keep_refusal, passed
from forecasting.market.locks import SYMBOL_LOCK
from forecasting.market.stored import bars, last_date, stored_since
from forecasting.market.upstream import price_source
from forecasting.models import ModelVersion, PriceBar, Restatement, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason
from forecasting.pipeline import bars as contract
from forecasting.pipeline.restatements import Change, change, recounted
from forecasting.pipeline.sources import (
    BadDataError,
    PausedError,
    PriceHistory,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
)

KEPT_SHARE = 0.9  # of the stored bars; a restated history with fewer of them is taken for an incomplete answer
UNKNOWN_FOR = timedelta(days=1), timedelta(days=7)  # the first answer that there is no such symbol stands, and every later one

logger = logging.getLogger(__name__)


def store(symbol: Symbol, history: PriceHistory, *, whole: bool, now: datetime) -> int:
    """Writes an answer in one transaction; returns how many bars it wrote. Every bar that is ever stored comes through here.

    `whole`: it is the symbol's whole history, which replaces the stored one where they differ; otherwise it begins with stored
    bars, which it repeats. Raises BadDataError where the quality gate refuses it, or it cannot take the place of what is stored.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [SYMBOL_LOCK, symbol.pk])
        history = replace(history, bars=passed(symbol, history.bars, whole=whole, now=now))
        restated = _restated(symbol, history) if whole else None
        written = _replace(symbol, history.bars, restated, now=now) if restated else _append(symbol, history.bars)
        symbol.currency = history.currency or symbol.currency
        symbol.synced_at = now
        _note(symbol, state=UpstreamState.OK, reason="", now=now)
    return written


def note_failure(symbol: Symbol, error: PriceSourceError, *, now: datetime) -> None:
    """Keeps with the symbol why its prices could not be had; a source that was not asked has said nothing."""
    if isinstance(error, BadDataError):
        keep_refusal(symbol, error)
    if isinstance(error, UnknownSymbolError) and not PriceBar.objects.of(symbol).exists():
        training_queue.fail_waiting(symbol, error=error.reason)
    if not isinstance(error, PausedError):
        _note(symbol, state=_state_of(error), reason=error.reason, now=now)


def _restated(symbol: Symbol, history: PriceHistory) -> Change | None:
    """How a whole history differs from the stored one; raises BadDataError where it is not fit to replace it."""
    stored = bars(symbol)
    if stored.empty:
        return None
    _refuse_incomplete(symbol, stored, history.bars)
    restated = change(stored, history.bars, exchange=symbol.exchange)
    if restated and restated.is_other_unit and history.currency == symbol.currency:
        found = f"all prices are {restated.ratio:g} times the stored ones, still in {history.currency}: a wrong unit"
        raise BadDataError(symbol.ticker, f"{found}; the stored bars are kept, try again later")
    return restated


def _refuse_incomplete(symbol: Symbol, stored: pd.DataFrame, sent: pd.DataFrame) -> None:
    if len(sent) >= KEPT_SHARE * len(stored) and sent.index[-1] >= stored.index[-1]:
        return
    found = f"{len(sent)} bars where {len(stored)} up to {last_date(stored)} are stored"
    raise BadDataError(symbol.ticker, f"the price source sent only {found}; the stored ones are kept, try again later")


def _replace(symbol: Symbol, fresh: pd.DataFrame, restated: Change, *, now: datetime) -> int:
    """The whole history anew, so that no two adjustments are ever mixed; what changed is kept, and the model trained again."""
    PriceBar.objects.of(symbol).delete()
    written = _insert(symbol, fresh)
    values = {"reason": restated.reason.value, "date": restated.date, "ratio": restated.ratio, "bars_changed": restated.bars}
    Restatement.objects.create(symbol=symbol, **values)
    logger.info("%d bars restated: %s of %s", restated.bars, restated.reason, restated.date, extra={"symbol": symbol.ticker})
    if ModelVersion.objects.active().of([symbol]).exists():
        training_requests.request_unless_resting([symbol], reason=TrainingReason.DATA_REVISED, now=now)
    return written


def _append(symbol: Symbol, sent: pd.DataFrame) -> int:
    """The bars of sessions that are not stored, and the volumes that are counted anew of those that are."""
    stored = stored_since(symbol, sent.index[0].date() if len(sent) else None)
    volumes = recounted(stored, sent)
    for session, volume in zip(volumes.index, volumes.tolist(), strict=True):
        PriceBar.objects.filter(symbol=symbol, date=session.date()).update(volume=volume)
    return _insert(symbol, sent[~sent.index.isin(stored.index)])


def _insert(symbol: Symbol, fresh: pd.DataFrame) -> int:
    """One COPY, ten times as fast as INSERT for a whole history, and without a row object for each bar."""
    columns = list(contract.COLUMNS)
    statement = f"COPY forecasting_pricebar (symbol_id, date, {', '.join(columns)}) FROM STDIN"
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for session, *values in fresh[columns].itertuples(name=None):
            copy.write_row((symbol.pk, session.date(), *values))
    if len(fresh):
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
    """Keeps what the price source said. Currency and time of the sync change only with an answer: the object may be old."""
    symbol.upstream_state, symbol.upstream_reason, symbol.upstream_checked_at = state, reason, now
    fields = ["upstream_state", "upstream_reason", "upstream_checked_at"]
    if state == UpstreamState.UNKNOWN and price_source().remote:
        symbol.unknown_until = now + UNKNOWN_FOR[min(symbol.unknown_answers, 1)]
        symbol.unknown_answers += 1
        fields += ["unknown_until", "unknown_answers"]
    if state == UpstreamState.OK:
        symbol.unknown_until, symbol.unknown_answers = None, 0
        fields += ["unknown_until", "unknown_answers", "currency", "synced_at"]
    symbol.save(update_fields=fields)
