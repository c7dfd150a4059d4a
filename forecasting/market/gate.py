"""The quality gate in front of the tables: bars that pass, and what is kept of what it found."""

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
    """What the gate says of the frame. Raises BadDataError if it refuses it.

    `whole`: the frame is the symbol's whole history, not its newest bars after some older ones.
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
    """What was found in the bars from session `since` on (None: in all), in place of what was known of them."""
    if since is None:
        _keep(symbol, found, instead_of=Q())
    else:
        outdated = Q(date__gte=since) | Q(verdict=gate.Verdict.REFUSED.value) | Q(rule=gate.Rule.OLD.value)
        _keep(symbol, (each for each in found if each.date is None or each.date >= since), instead_of=outdated)


def keep_refusal(symbol: Symbol, error: BadDataError) -> None:
    """What was refused, in place of an earlier refusal; what is known of the stored bars stays."""
    _keep(symbol, gate.refused(error.findings), instead_of=Q(verdict=gate.Verdict.REFUSED.value))


def training_bars(symbol: Symbol, *, now: datetime) -> pd.DataFrame:
    """The stored bars of one symbol that a model may learn from: they may be older than a rule of the gate.

    Raises BadDataError, after keeping why.
    """
    try:
        checked = judged(symbol, bars(symbol), whole=True, now=now)
    except BadDataError as error:
        keep_refusal(symbol, error)
        raise
    return checked.bars


def _keep(symbol: Symbol, found: Iterable[gate.Finding], *, instead_of: Q) -> None:
    """Two queries, however much was found."""
    rows = [
        Finding(symbol=symbol, rule=each.rule.value, verdict=each.verdict.value, date=each.date, value=each.value, text=each.text)
        for each in found
    ]
    with transaction.atomic(savepoint=False):
        Finding.objects.of(symbol).filter(instead_of).delete()
        Finding.objects.bulk_create(rows, ignore_conflicts=True)
