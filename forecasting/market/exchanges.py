"""The exchange of a symbol, from the answer of a price source."""

import pandas as pd

from forecasting.market.stored import recent_bars
from forecasting.models import Symbol
from forecasting.prices.calendars import may_be_of
from forecasting.prices.markets import sessions_like
from forecasting.prices.sources import PriceHistory
from forecasting.prices.weeks import LEARNED_FROM, is_unknown, week_of


def exchange_of_answer(symbol: Symbol, history: PriceHistory, *, whole: bool) -> str | None:
    """What the source names, else what is known already; the week of an unknown market is learned from its newest bars.

    An exchange that has other sessions than the bars is not taken: the gate would refuse them for ever.
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
    """The sessions of the answer, and of the newest bars that it continues; ascending."""
    sent = pd.DatetimeIndex(history.bars.index).sort_values()
    return sent if whole else sent.union(pd.DatetimeIndex(recent_bars([symbol], count=LEARNED_FROM)[symbol.pk].index))
