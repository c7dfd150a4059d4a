"""The session under way at an exchange: which one it is, whether it trades now, and how much of it has passed."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache

from forecasting.prices.calendars import bar_due, last_completed_session, next_session
from forecasting.prices.schedules import schedule_of


class SessionState(StrEnum):
    """What an exchange does in a session."""

    CLOSED = "closed"  # it is not yet the day of the session, or the opening time is unknown
    PRE = "pre"  # it is that day at the exchange, before the open
    OPEN = "open"  # between open and close, lunch breaks included
    SETTLING = "settling"  # after the close, until the bar is due


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingSession:
    """The first session whose bar is not due yet, and its state. All times are UTC."""

    session: date
    state: SessionState
    opens: datetime | None  # None if the opening times are unknown; such an exchange is always closed
    closes: datetime


def session_at(exchange: str, *, now: datetime) -> TradingSession:
    """The session under way or next to come. Raises TypeError or ValueError if `now` has no time zone.

    The days of coins and currencies follow each other without a pause. A day counts from the moment at which the bar of the day
    before is due, because a forecast needs that bar: at 00:10 UTC yesterday is settling, at 00:30 today is open.
    """
    since, until, found = _found.get(exchange, _NOTHING)
    if not since <= now < until:
        since, until, found = _found[exchange] = _search(exchange, now)
    return found


# By exchange, the answer of the last search, from when on it holds, and until when.
_found: dict[str, tuple[datetime, datetime, TradingSession]] = {}
_LATEST = datetime.max.replace(tzinfo=UTC)
_NOTHING = (_LATEST, _LATEST, TradingSession(session=date.max, state=SessionState.CLOSED, opens=None, closes=_LATEST))


def _search(exchange: str, now: datetime) -> tuple[datetime, datetime, TradingSession]:
    """The session under way, from when on its state holds, and until when."""
    completed = last_completed_session(exchange, now=now)
    session = next_session(exchange, after=completed)
    schedule = schedule_of(exchange)
    opens, closes = schedule.open(session), schedule.close(session).astimezone(UTC)
    begins = bar_due(exchange, completed)
    states = [(begins, SessionState.CLOSED)]
    if opens is not None:
        midnight = datetime.combine(session, time(), tzinfo=schedule.timezone).astimezone(UTC)
        states += [(midnight, SessionState.PRE), (opens, SessionState.OPEN), (closes, SessionState.SETTLING)]
    since, state = next(each for each in reversed(states) if each[0] <= now)
    until = min([later for later, _ in states if later > now], default=bar_due(exchange, session))
    return max(begins, since), until, TradingSession(session=session, state=state, opens=opens, closes=closes)


def elapsed(exchange: str, session: date, moment: datetime) -> float:
    """Share of a session's trading time that has passed at `moment`, 0 to 1. Raises ValueError if its opening time is unknown."""
    return traded_for(exchange, session, moment) / traded_for(exchange, session, _LATEST)


def traded_for(exchange: str, session: date, moment: datetime) -> timedelta:
    """Trading time of a session until `moment`, without its lunch break. Raises ValueError if its opening time is unknown."""
    opens, closes, rest = _hours(exchange, session)
    until = min(max(opens, moment), closes)
    paused = max(timedelta(0), min(until, rest[1]) - rest[0]) if rest else timedelta(0)
    return until - opens - paused


@lru_cache(maxsize=1024)
def _hours(exchange: str, session: date) -> tuple[datetime, datetime, tuple[datetime, datetime] | None]:
    """Open, close and lunch break of a session."""
    schedule = schedule_of(exchange)
    if (opens := schedule.open(session)) is None:
        raise ValueError(f"{exchange} has no known opening time on {session}; ask only for sessions with `opens`")
    return opens, schedule.close(session), schedule.rest(session)
