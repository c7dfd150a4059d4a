"""Leads: markets that close between a session of an exchange and its next one. Which ones, and when they are known."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from forecasting.prices.calendars import exchange_of, next_session
from forecasting.prices.markets import TABLES, sessions_like
from forecasting.prices.schedules import schedule_of

USABLE_AFTER = timedelta(minutes=15)  # after a lead's close; until then sources may not have its bar
ISSUED_BEFORE = timedelta(minutes=5)  # before the open of the target session, at the latest

ALL_LEADS = frozenset(lead for region in TABLES["regions"].values() for lead in region["leads"])  # symbols
_REGIONS: dict[str, str] = {exchange: name for name, region in TABLES["regions"].items() for exchange in region["exchanges"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadWindow:
    """The time between the close of a session, `as_of`, and the open of the next one, `target`.

    A forecast that knows the leads is issued at `known_until` at the earliest and at `deadline` at the latest.
    """

    as_of: date
    target: date
    sessions: dict[str, tuple[date, ...]]  # by lead: its last session known at the close of `as_of`, then those that ended since
    known_until: datetime  # USABLE_AFTER the close of the last of them, UTC
    deadline: datetime  # ISSUED_BEFORE the open, UTC
    opens: datetime  # UTC


def leads_of(exchange: str) -> tuple[str, ...]:
    """The leads of an exchange; empty if it has none."""
    region = region_of(exchange)
    return tuple(TABLES["regions"][region]["leads"]) if region else ()


def region_of(exchange: str) -> str:
    """The region of an exchange with leads; "" if it has none."""
    return _REGIONS.get(sessions_like(exchange), "")


@lru_cache(maxsize=8192)  # the symbols of an exchange ask for the same sessions
def lead_window(exchange: str, as_of: date) -> LeadWindow | None:
    """The leads between session `as_of` of an exchange and its next one.

    None if the exchange has no leads, its hours are unknown, or one of its leads had no session that ended in between and
    `USABLE_AFTER` before the deadline. Closes, opens, holidays and half days are those of the calendars.
    """
    target = next_session(exchange, after=as_of)
    opens = schedule_of(exchange).open(target)
    if opens is None or schedule_of(exchange).open(as_of) is None:
        return None
    closed, deadline = schedule_of(exchange).close(as_of), opens - ISSUED_BEFORE
    schedules = {lead: schedule_of(exchange_of(lead)) for lead in leads_of(exchange)}
    sessions = {lead: tuple(each.closed_between(closed, deadline - USABLE_AFTER)) for lead, each in schedules.items()}
    if not sessions or min(map(len, sessions.values())) < 2:
        return None
    last_close = max(schedules[lead].close(days[-1]) for lead, days in sessions.items())
    return LeadWindow(
        as_of=as_of, target=target, sessions=sessions, known_until=last_close + USABLE_AFTER, deadline=deadline, opens=opens
    )
