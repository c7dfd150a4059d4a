"""A symbol's exchange and currency, an exchange's sessions.

Own table of markets (markets.toml): exchange_calendars knows the sessions, but not which ticker trades where, in which currency.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from forecasting.prices.markets import market_of
from forecasting.prices.schedules import schedule_of
from forecasting.prices.weeks import Mask

BAR_SETTLES = timedelta(minutes=30)  # after the close: until then sources may still change the session's bar
MISFITS = 0.1  # share of bars on closed days; those of another week are at least a seventh
LOOKED_AT = 16  # days at a time in the search for a session: nearly always enough


def exchange_of(symbol: str) -> str:
    """ISO 10383 code of the exchange of `symbol`, or "24/7" (coins), "24/5" (currencies), "WEEKDAYS" (not known)."""
    return market_of(symbol).exchange


def currency_of(symbol: str) -> str:
    """ISO 4217 code, or coin, that `symbol` is usually quoted in, for sources that do not tell; "XXX" where it is not known."""
    return market_of(symbol).currency


@lru_cache(maxsize=256)  # one moment and exchange for many symbols
def last_completed_session(exchange: str, *, now: datetime) -> date:
    """The latest session that has closed at least `BAR_SETTLES` before `now` (tz-aware; ValueError otherwise)."""
    if now.tzinfo is None:
        raise ValueError(f"now must carry a time zone, found {now.isoformat()}")
    today = now.astimezone(UTC).date()  # no session closes on a UTC date before its own
    closes = schedule_of(exchange).close
    return next(day for day in _sessions_from(exchange, today, step=-1) if closes(day) + BAR_SETTLES <= now)


@lru_cache(maxsize=256)
def next_session(exchange: str, *, after: date) -> date:
    """The first session later than `after`."""
    return next(_sessions_from(exchange, after + timedelta(days=1), step=1))


def is_session(exchange: str, day: date) -> bool:
    """Whether the exchange trades on `day`, as far as its holidays are known; see `is_provisional`."""
    return bool(schedule_of(exchange).trades(np.array([day], dtype="datetime64[D]"))[0])


def is_provisional(exchange: str, day: date) -> bool:
    """Whether `day` is a session or none only as the exchange's week goes, because its holidays of that year are not known.

    A forecast of such a session may turn out to be of a day without a bar.
    """
    schedule = schedule_of(exchange)
    return not schedule.week.complete and not schedule.knows(np.array([day], dtype="datetime64[D]"))[0]


def sessions(exchange: str, *, first: date, last: date) -> pd.DatetimeIndex:
    """All sessions from `first` to `last`, both inclusive, as a bars index."""
    days = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)
    return pd.DatetimeIndex(days[schedule_of(exchange).trades(days)], name="date").as_unit("us")


def closed_days(exchange: str, days: pd.DatetimeIndex) -> Mask:
    """Which of `days` the exchange is known not to have traded on; none where neither its week nor its holidays are known."""
    return schedule_of(exchange).is_closed(days.to_numpy().astype("datetime64[D]"))


def may_be_of(exchange: str, days: pd.DatetimeIndex) -> bool:
    """Whether bars of these days may be of the exchange: nearly all are of days on which it was not closed."""
    return not len(days) or float(closed_days(exchange, days).mean()) <= MISFITS


def _sessions_from(exchange: str, day: date, *, step: int) -> Iterator[date]:
    """The sessions from `day` on, or with step -1 back from it, without end."""
    schedule = schedule_of(exchange)
    days = np.datetime64(day, "D") + step * np.arange(LOOKED_AT)
    while True:
        yield from days[schedule.trades(days)].tolist()
        days += step * LOOKED_AT
