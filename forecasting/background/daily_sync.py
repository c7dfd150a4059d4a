"""The first step of the daily job: syncs all symbols, and says which of them the price source has not answered for."""

import logging
import time
from datetime import datetime
from typing import Any

from django.db.models import Case, Q, Value, When

from forecasting import leads, market
from forecasting.models import Symbol
from forecasting.models.symbols import SymbolQuerySet
from forecasting.prices.sources import PausedError, PriceSourceError, RateLimitedError, UpstreamUnavailableError

SLICE_SECONDS = 240  # seconds of syncing per task, well below the task's time limit; the next task continues
GIVE_UP_AFTER = 5  # symbols in a row for which the price source was unavailable
ROUNDS = 4  # of a run in which only single symbols get no answer: more rounds would not help
BATCH = 100  # symbols per read
SHOWN = 3  # symbols without an answer that the reason of an incomplete run names

Report = dict[str, Any]  # what a run has done so far; the next task continues from it

logger = logging.getLogger(__name__)


def sync_one(symbol: Symbol, *, now: datetime) -> PriceSourceError | None:
    """Syncs one symbol's bars; returns the error if that fails."""
    try:
        market.sync(symbol, now=now)
    except PriceSourceError as error:
        logger.warning("syncing prices failed: %s", error, extra={"symbol": symbol.ticker})
        return error
    return None


def sync(report: Report, now: datetime) -> bool:
    """Syncs the symbols that this run has not tried, for at most SLICE_SECONDS; True if syncing is over for now.

    A symbol is tried once the price source has answered, even if it does not know the symbol or if its prices are bad. Syncing
    stops at once if the source limits our rate, is paused, or is unavailable for GIVE_UP_AFTER symbols in a row: more requests
    would make that worse. The job then continues with the next step.
    """
    leads.create_missing()
    report |= {"symbols": 0, "not_synced": {}, "not_tried": {}} | report
    report.pop("sync_ended", None)
    over = _sync_slice(report, now)
    report["untried"] = _untried(report, now).count() if "sync_ended" in report or not over else len(report["not_tried"])
    report["rounds"] = report.get("rounds", 0) + over
    return over


def describe(report: Report, now: datetime) -> list[str]:
    """What `sync` would do."""
    paused = " (the price source is paused now)" if market.why_paused() else ""
    return [f"Prices of {_untried(report, now).count()} symbols would be synced{paused}."]


def what_is_missing(report: Report) -> str:
    """Why symbols were not tried; empty if all were. Of single symbols, the reasons of the first few."""
    if not report.get("untried"):
        return ""
    reasons = [f"{ticker}: {reason}" for ticker, reason in report["not_tried"].items()]
    more = f"; {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    ended: str | None = report.get("sync_ended")
    return ended or "; ".join(reasons[:SHOWN]) + more


def may_go_on(report: Report) -> bool:
    """Whether another round of an incomplete run may help: the source may be asked again, or single symbols were unlucky."""
    return ("sync_ended" in report or report.get("rounds", 0) < ROUNDS) and not market.why_paused()


def _sync_slice(report: Report, now: datetime) -> bool:
    ends, in_a_row = time.monotonic() + SLICE_SECONDS, 0
    if paused := market.why_paused():
        report["sync_ended"] = paused
        return True
    for symbol in _untried(report, now).iterator(BATCH):
        if time.monotonic() > ends:
            return False
        error = sync_one(symbol, now=now)
        in_a_row = in_a_row + 1 if isinstance(error, UpstreamUnavailableError) else 0
        if isinstance(error, RateLimitedError | PausedError) or (error and in_a_row >= GIVE_UP_AFTER):
            report["sync_ended"] = market.why_paused() or f"At {symbol.ticker}: {error.reason}"
            return True
        _note(report, symbol, error)
    return True


def _note(report: Report, symbol: Symbol, error: PriceSourceError | None) -> None:
    report["last_symbol"] = max(symbol.pk, report.get("last_symbol", 0))
    report["not_tried"].pop(symbol.ticker, None)
    if isinstance(error, UpstreamUnavailableError):
        report["not_tried"][symbol.ticker] = error.reason
        return
    report["symbols"] += 1
    if error:
        report["not_synced"][symbol.ticker] = error.reason


def _untried(report: Report, now: datetime) -> SymbolQuerySet:
    """The symbols that this run has not tried, in the order of their keys; last those that got no answer in an earlier round."""
    new, unlucky = Q(pk__gt=report.get("last_symbol", 0)), Q(ticker__in=list(report.get("not_tried", ())))
    order = Case(When(new, then=Value(0)), default=Value(1))
    return Symbol.objects.worth_asking(now=now).filter(new | unlucky).order_by(order, "pk")
