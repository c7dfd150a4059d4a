"""Reads stored bars as frames of the bars contract, and tells whether they are stale."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
from django.db import connection

from forecasting.models import PriceBar, Symbol
from forecasting.prices import bars as contract
from forecasting.prices.calendars import last_completed_session, sessions

USUAL_LAG = 1  # session, which the next daily job or request fetches


def is_stale(symbol: Symbol, last_bar: date | None, *, now: datetime) -> bool:
    """Whether the bar of the last completed session is missing."""
    return last_bar is None or last_bar < last_completed_session(symbol.calendar, now=now)


def sessions_missing(symbol: Symbol, last_bar: date, *, now: datetime) -> int:
    """The completed sessions after the last bar."""
    last = last_completed_session(symbol.calendar, now=now)
    return len(sessions(symbol.calendar, first=last_bar + timedelta(days=1), last=last)) if last_bar < last else 0


def bars(symbol: Symbol) -> pd.DataFrame:
    """One symbol's whole history as a frame of the bars contract; may be empty."""
    return _frame(PriceBar.objects.of(symbol).values_list("date", *contract.COLUMNS))


def recent_bars(symbols: Iterable[Symbol], *, count: int) -> dict[int, pd.DataFrame]:
    """The last `count` bars of each symbol, by its primary key. One query with an index scan per symbol."""
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
    """The session of the newest bar."""
    return stored.index[-1].date() if len(stored) else None


def _frame(rows: Iterable[tuple[date | float, ...]]) -> pd.DataFrame:
    """Converts database rows (date, open, high, low, close, volume) to a frame of the bars contract."""
    listed = list(rows)
    if not listed:
        return contract.empty()
    dates = pd.DatetimeIndex(np.array([row[0] for row in listed], dtype="datetime64[us]"), name="date")
    return pd.DataFrame(np.array([row[1:] for row in listed], dtype=float), index=dates, columns=list(contract.COLUMNS))
