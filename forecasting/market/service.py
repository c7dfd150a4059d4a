"""Takes symbols out of service and back, and forgets those that never had prices. Ledger, versions and forecasts stay."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models.functions import Now

from forecasting.models import Symbol, Training
from forecasting.models.locks import lock_symbols
from forecasting.models.symbols import SymbolQuerySet
from forecasting.training import queue as training_queue

FORGET_BATCH = 500  # symbols; each holds an advisory lock, and Postgres has room for a few thousand
UNUSED_FOR = timedelta(days=1)  # before the daily job forgets a symbol

logger = logging.getLogger(__name__)


@transaction.atomic
def remove(symbols: Iterable[Symbol], *, by: str) -> None:
    """Takes the symbols out of service, and cancels their active trainings."""
    wanted = list(symbols)
    Symbol.objects.in_service().filter(pk__in=[symbol.pk for symbol in wanted]).update(removed_at=Now())
    for training in Training.objects.active().of(wanted).select_related("symbol"):
        training_queue.cancel(training, by=by)
    for symbol in wanted:
        logger.info("taken out of service by %s", by, extra={"symbol": symbol.ticker})


def restore(symbols: Iterable[Symbol], *, by: str) -> None:
    """Takes the symbols back into service."""
    wanted = list(symbols)
    Symbol.objects.filter(pk__in=[symbol.pk for symbol in wanted]).update(removed_at=None)
    for symbol in wanted:
        logger.info("back in service by %s", by, extra={"symbol": symbol.ticker})


def forgettable(*, now: datetime) -> SymbolQuerySet:
    """Symbols that the daily job forgets: they never had bars or trainings, and nobody has asked for them lately."""
    unused = Symbol.objects.followed().that_never_had_bars().without_trainings().filter(created_at__lt=now - UNUSED_FOR)
    return unused.exclude(upstream_checked_at__gte=now - UNUSED_FOR)


def forget(symbols: SymbolQuerySet) -> list[str]:
    """Deletes those of the symbols that never had bars, with their ended trainings; returns their tickers.

    Symbols that are being synced stay: the lock is that of a sync.
    """
    wanted = list(symbols.that_never_had_bars().order_by("pk"))
    forgotten: list[str] = []
    for start in range(0, len(wanted), FORGET_BATCH):
        with lock_symbols(wanted[start : start + FORGET_BATCH]) as mine, transaction.atomic():
            checked = Symbol.objects.filter(pk__in=[symbol.pk for symbol in mine]).that_never_had_bars()
            gone = list(checked.select_for_update(of=("self",)))
            Symbol.objects.filter(pk__in=[symbol.pk for symbol in gone]).delete()
        forgotten += [symbol.ticker for symbol in gone]
    if forgotten:
        logger.info("%d symbols forgotten: they never had prices", len(forgotten))
    return forgotten
