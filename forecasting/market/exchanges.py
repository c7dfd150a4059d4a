"""Finds a symbol's exchange in a price source's answer."""

import pandas as pd

from forecasting.market.stored import recent_bars
from forecasting.models import Symbol
from forecasting.prices.calendars import may_be_of
from forecasting.prices.markets import sessions_like
from forecasting.prices.sources import PriceHistory
from forecasting.prices.weeks import LEARNED_FROM, is_unknown, week_of


def exchange_of_answer(symbol: Symbol, history: PriceHistory, *, whole: bool) -> str | None:
    """The exchange named by the source, else the known one. For an unknown market, trading days are learned from the newest bars.

    An exchange whose sessions do not match the bars is ignored, because the gate would then refuse the bars for ever.
    """
    if history.bars.empty:
        return symbol.exchange
    named = history.exchange or symbol.calendar
    if sessions_like(named) == sessions_like(symbol.calendar) and not is_unknown(named):
        return named
    days = _days(symbol, history, whole=whole)
    if history.exchange and may_be_of(history.exchange, days):
        return history.exchange
    return week_of(days) if is_unknown(symbol.calendar) else symbol.calendar


def _days(symbol: Symbol, history: PriceHistory, *, whole: bool) -> pd.DatetimeIndex:
    """Sessions of the answer and, unless it is the whole history, of the newest stored bars; ascending."""
    sent = pd.DatetimeIndex(history.bars.index).sort_values()
    return sent if whole else sent.union(pd.DatetimeIndex(recent_bars([symbol], count=LEARNED_FROM)[symbol.pk].index))
