"""Stored bars, read as the bars contract, and whether they are behind."""

from collections.abc import Iterable
from datetime import date, datetime

import numpy as np
import pandas as pd
from django.db import connection

from forecasting.models import PriceBar, Symbol
from forecasting.prices import bars as contract
from forecasting.prices.calendars import last_completed_session


def is_stale(symbol: Symbol, last_bar: date | None, *, now: datetime) -> bool:
    """Whether a completed session's bar is missing."""
    return last_bar is None or last_bar < last_completed_session(symbol.calendar, now=now)


def bars(symbol: Symbol) -> pd.DataFrame:
    """One symbol's whole history as the bars contract; empty where nothing is stored."""
    return _frame(PriceBar.objects.of(symbol).values_list("date", *contract.COLUMNS))


def recent_bars(symbols: Iterable[Symbol], *, count: int) -> dict[int, pd.DataFrame]:
    """The last `count` bars of each symbol, by its primary key. One query, an index scan a symbol."""
    ids = [symbol.pk for symbol in symbols]
    query = """
        SELECT wanted.id, bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume
        FROM unnest(%s::bigint[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT * FROM forecasting_pricebar WHERE symbol_id = wanted.id ORDER BY date DESC LIMIT %s
        ) AS bar
        ORDER BY wanted.id, bar.date
    """
    rows: dict[int, list[tuple[date | float, ...]]] = {each: [] for each in ids}
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(query, [ids, count])
            for symbol_id, *row in cursor:
                rows[symbol_id].append(tuple(row))
    return {symbol_id: _frame(bar_rows) for symbol_id, bar_rows in rows.items()}


def last_date(stored: pd.DataFrame) -> date | None:
    """The newest bar's session."""
    return stored.index[-1].date() if len(stored) else None


def _frame(rows: Iterable[tuple[date | float, ...]]) -> pd.DataFrame:
    """Database rows (date, open, high, low, close, volume) as the bars contract."""
    listed = list(rows)
    if not listed:
        return contract.empty()
    dates = pd.DatetimeIndex(np.array([row[0] for row in listed], dtype="datetime64[us]"), name="date")
    return pd.DataFrame(np.array([row[1:] for row in listed], dtype=float), index=dates, columns=list(contract.COLUMNS))
