"""Applies the quality gate before bars are stored, and stores its findings."""

from collections.abc import Iterable
from datetime import date, datetime

import pandas as pd
from django.db import transaction
from django.db.models import Q

from forecasting.market.stored import bars
from forecasting.models import Finding, Symbol
from forecasting.pipeline.config import ForecastConfig
from forecasting.prices import findings as gate
from forecasting.prices.bars import BadBarsError
from forecasting.prices.calendars import last_completed_session
from forecasting.prices.quality import Checked, check_bars
from forecasting.prices.sources import BadDataError


def judged(symbol: Symbol, frame: pd.DataFrame, *, whole: bool, now: datetime) -> Checked:
    """Checks the frame with the quality gate. Raises BadDataError if the gate refuses it.

    `whole`: the frame is the symbol's whole history rather than its newest bars.
    """
    try:
        return check_bars(
            frame,
            symbol=symbol.ticker,
            exchange=symbol.calendar,
            last_session=last_completed_session(symbol.calendar, now=now),
            needed=ForecastConfig().minimum_bars if whole else 0,
        )
    except BadBarsError as error:
        raise BadDataError(symbol.ticker, error.reason, error.findings) from error


def keep_findings(symbol: Symbol, found: Iterable[gate.Finding], *, since: date | None) -> None:
    """Replaces the findings from session `since` on (None: all findings)."""
    if since is None:
        _keep(symbol, found, instead_of=Q())
    else:
        outdated = Q(date__gte=since) | Q(verdict=gate.Verdict.REFUSED.value) | Q(rule=gate.Rule.OLD.value)
        _keep(symbol, (each for each in found if each.date is None or each.date >= since), instead_of=outdated)


def keep_refusal(symbol: Symbol, error: BadDataError) -> None:
    """Stores a refusal in place of an earlier one; findings on stored bars stay."""
    _keep(symbol, gate.refused(error.findings), instead_of=Q(verdict=gate.Verdict.REFUSED.value))


def training_bars(symbol: Symbol, *, now: datetime) -> pd.DataFrame:
    """One symbol's stored bars for training. They are checked again, because a rule of the gate may be newer than the bars.

    Raises BadDataError after storing the refusal.
    """
    try:
        checked = judged(symbol, bars(symbol), whole=True, now=now)
    except BadDataError as error:
        keep_refusal(symbol, error)
        raise
    return checked.bars


def _keep(symbol: Symbol, found: Iterable[gate.Finding], *, instead_of: Q) -> None:
    """Two queries for any number of findings."""
    rows = [
        Finding(symbol=symbol, rule=each.rule.value, verdict=each.verdict.value, date=each.date, value=each.value, text=each.text)
        for each in found
    ]
    with transaction.atomic(savepoint=False):
        Finding.objects.of(symbol).filter(instead_of).delete()
        Finding.objects.bulk_create(rows, ignore_conflicts=True)
