"""Pauses the automatic retraining of symbols, and resumes it. What people request is trained all the same."""

import logging
from collections.abc import Iterable

from django.db.models.functions import Now

from forecasting.models import Symbol

logger = logging.getLogger(__name__)


def pause(symbols: Iterable[Symbol], *, by: str) -> None:
    """The daily job requests no retrainings of these symbols any more. Those that are paused already stay as they are."""
    _write(symbols, paused=True, by=by)


def resume(symbols: Iterable[Symbol], *, by: str) -> None:
    """The daily job requests retrainings of these symbols again."""
    _write(symbols, paused=False, by=by)


def _write(symbols: Iterable[Symbol], *, paused: bool, by: str) -> None:
    wanted = list(symbols)
    values = {"paused_at": Now(), "paused_by": by} if paused else {"paused_at": None, "paused_by": ""}
    Symbol.objects.filter(pk__in=[each.pk for each in wanted], paused_at__isnull=paused).update(**values)
    for symbol in wanted:
        logger.info("automatic training %s by %s", "paused" if paused else "resumed", by, extra={"symbol": symbol.ticker})
