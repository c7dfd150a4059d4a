"""Exchange calendars: a symbol's exchange and currency, and the sessions of an exchange."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice

import numpy as np
import pandas as pd

from forecasting.prices.markets import market_of
from forecasting.prices.schedules import schedule_of
from forecasting.prices.weeks import Days, Mask

BAR_SETTLES = timedelta(minutes=30)  # after the close; until then sources may still change the session's bar
MISFITS = 0.1  # tolerated share of bars on closed days; with a wrong trading week the share is at least 1/7
SEARCH_STEP_DAYS = 16  # days per step of the search for a session; one step is nearly always enough


def exchange_of(symbol: str) -> str:
    """ISO 10383 code of the exchange of `symbol`, or "24/7" (coins), "24/5" (currencies), "WEEKDAYS" (unknown)."""
    return market_of(symbol).exchange


def currency_of(symbol: str) -> str:
    """Currency (ISO 4217) or coin in which `symbol` is usually quoted, for sources that report none; "XXX" if unknown."""
    return market_of(symbol).currency


def last_completed_session(exchange: str, *, now: datetime) -> date:
    """The latest session that closed at least `BAR_SETTLES` before `now`. Raises ValueError if `now` has no time zone."""
    if now.tzinfo is None:
        raise ValueError(f"now must carry a time zone, found {now.isoformat()}")
    since, until, session = _found.get(exchange, _NOTHING)
    if not since <= now < until:
        today = now.astimezone(UTC).date()  # no session closes on a UTC date before its own
        session = next(day for day in _sessions_from(exchange, today, step=-1) if bar_due(exchange, day) <= now)
        _found[exchange] = (bar_due(exchange, session), bar_due(exchange, next_session(exchange, after=session)), session)
    return session


# By exchange, the answer of the last search, from when on it holds, and until when. Most requests come within the same session.
_found: dict[str, tuple[datetime, datetime, date]] = {}
_NOTHING = (datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), date.max)


def bar_due(exchange: str, session: date) -> datetime:
    """When the bar of a session is complete: `BAR_SETTLES` after its close."""
    return schedule_of(exchange).close(session) + BAR_SETTLES


def next_session(exchange: str, *, after: date) -> date:
    """The first session later than `after`."""
    return session_after(exchange, after=after, count=1)


def previous_session(exchange: str, *, before: date) -> date:
    """The last session earlier than `before`."""
    return next(_sessions_from(exchange, before - timedelta(days=1), step=-1))


@lru_cache(maxsize=256)
def session_after(exchange: str, *, after: date, count: int) -> date:
    """The session `count` sessions later than `after`."""
    return next(islice(_sessions_from(exchange, after + timedelta(days=1), step=1), count - 1, None))


def is_session(exchange: str, day: date) -> bool:
    """Whether the exchange trades on `day`. If its holidays of that year are unknown, see `is_provisional`."""
    return bool(schedule_of(exchange).trades(np.array([day], dtype="datetime64[D]"))[0])


def is_provisional(exchange: str, day: date) -> bool:
    """Whether only the trading week decides if `day` is a session, because the holidays of that year are unknown.

    The target day of a forecast may then turn out to be a holiday without a bar.
    """
    schedule = schedule_of(exchange)
    return not schedule.week.complete and not schedule.knows(np.array([day], dtype="datetime64[D]"))[0]


def session_days(exchange: str, *, first: date, last: date) -> Days:
    """All sessions from `first` to `last`, both inclusive."""
    days = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)
    return days[schedule_of(exchange).trades(days)]


def sessions(exchange: str, *, first: date, last: date) -> pd.DatetimeIndex:
    """As `session_days`, as a bars index."""
    return pd.DatetimeIndex(session_days(exchange, first=first, last=last), name="date").as_unit("us")


def closed_days(exchange: str, days: pd.DatetimeIndex) -> Mask:
    """Mask of the `days` on which the exchange was certainly closed; all False if its week and holidays are unknown."""
    return schedule_of(exchange).is_closed(days.to_numpy().astype("datetime64[D]"))


def may_be_of(exchange: str, days: pd.DatetimeIndex) -> bool:
    """Whether bars of these days can come from the exchange: at most a share `MISFITS` lies on closed days."""
    return not len(days) or float(closed_days(exchange, days).mean()) <= MISFITS


def _sessions_from(exchange: str, day: date, *, step: int) -> Iterator[date]:
    """Endless iterator over the sessions from `day` on, forwards (step 1) or backwards (step -1)."""
    schedule = schedule_of(exchange)
    days = np.datetime64(day, "D") + step * np.arange(SEARCH_STEP_DAYS)
    while True:
        yield from days[schedule.trades(days)].tolist()
        days += step * SEARCH_STEP_DAYS
