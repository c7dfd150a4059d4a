"""Leads: which exchanges have some, and which of their sessions lie between two sessions of another exchange."""

from datetime import UTC, date, datetime

import pytest

from forecasting.prices.calendars import exchange_of, next_session, sessions
from forecasting.prices.leads import ALL_LEADS, ISSUED_BEFORE, USABLE_AFTER, LeadWindow, lead_window, leads_of, region_of
from forecasting.prices.markets import TABLES
from forecasting.prices.schedules import schedule_of

EXCHANGES = [exchange for region in TABLES["regions"].values() for exchange in region["exchanges"]]


def window(exchange: str, as_of: date) -> LeadWindow:
    found = lead_window(exchange, as_of)
    assert found
    return found


def since(exchange: str, as_of: date, lead: str = "SPY") -> list[date]:
    """The sessions of a lead that the window adds up."""
    return [*window(exchange, as_of).sessions[lead][1:]]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]  # year, month, day, hour, minute


@pytest.mark.parametrize(
    ("exchange", "leads", "region"),
    [
        ("XTKS", ("SPY",), "Asia-Pacific"),
        ("XNSE", ("SPY",), "Asia-Pacific"),  # has the sessions of XBOM
        ("XLON", ("SPY", "^N225"), "Europe"),
        *((exchange, (), "") for exchange in ("XIST", "BVMF", "XNYS", "XNAS", "24/7", "WEEKDAYS")),
    ],
)
def test_exchanges_that_open_after_a_lead_has_closed_have_it(exchange: str, leads: tuple[str, ...], region: str) -> None:
    assert (leads_of(exchange), region_of(exchange)) == (leads, region)


def test_all_leads_are_those_of_any_exchange() -> None:
    assert {*ALL_LEADS} == {"SPY", "^N225"}


def test_an_exchange_without_leads_has_no_window() -> None:
    assert lead_window("XIST", date(2024, 7, 3)) is None


def test_the_session_of_the_same_date_in_new_york_ends_after_tokyo() -> None:
    assert window("XTKS", date(2024, 7, 9)) == LeadWindow(
        target=date(2024, 7, 10),
        sessions={"SPY": (date(2024, 7, 8), date(2024, 7, 9))},
        known_until=utc(2024, 7, 9, 20, 15),
        deadline=utc(2024, 7, 9, 23, 55),
        opens=utc(2024, 7, 10, 0, 0),
    )


@pytest.mark.parametrize(
    ("exchange", "as_of", "known_until", "opens"),
    [
        ("XTKS", date(2024, 1, 10), utc(2024, 1, 10, 21, 15), utc(2024, 1, 11, 0, 0)),  # winter in New York
        ("XASX", date(2024, 1, 10), utc(2024, 1, 10, 21, 15), utc(2024, 1, 10, 23, 0)),  # summer in Sydney
        ("XASX", date(2024, 7, 9), utc(2024, 7, 9, 20, 15), utc(2024, 7, 10, 0, 0)),  # winter there
        ("XTKS", date(2024, 7, 3), utc(2024, 7, 3, 17, 15), utc(2024, 7, 4, 0, 0)),  # half day before Independence Day
        ("XNSE", date(2024, 7, 9), utc(2024, 7, 9, 20, 15), utc(2024, 7, 10, 3, 45)),
        ("XETR", date(2024, 7, 9), utc(2024, 7, 10, 6, 15), utc(2024, 7, 10, 7, 0)),  # Tokyo has no summer time
        ("XETR", date(2024, 1, 10), utc(2024, 1, 11, 6, 15), utc(2024, 1, 11, 8, 0)),
        ("XETR", date(2024, 3, 20), utc(2024, 3, 21, 6, 15), utc(2024, 3, 21, 8, 0)),  # summer time in New York only
        ("XLON", date(2025, 7, 9), utc(2025, 7, 10, 6, 45), utc(2025, 7, 10, 7, 0)),  # Tokyo ends at 15:30 since November 2024
    ],
)
def test_times_follow_both_calendars(exchange: str, as_of: date, known_until: datetime, opens: datetime) -> None:
    assert (window(exchange, as_of).known_until, window(exchange, as_of).opens) == (known_until, opens)


def test_sessions_on_holidays_of_the_exchange_are_added() -> None:
    assert since("XTKS", date(2024, 5, 2)) == [date(2024, 5, 2), date(2024, 5, 3), date(2024, 5, 6)]  # golden week
    assert since("XPAR", date(2024, 3, 28), "^N225") == [date(2024, 3, 29), date(2024, 4, 1), date(2024, 4, 2)]  # Easter


def test_there_is_no_window_if_a_lead_was_closed_throughout() -> None:
    assert lead_window("XTKS", date(2024, 7, 4)) is None  # Independence Day
    assert lead_window("XPAR", date(2024, 2, 9)) is None  # Tokyo was closed on Monday 12 February
    assert lead_window("XPAR", date(2024, 7, 4)) is None


def test_a_lead_that_is_closed_for_a_day_counts_with_the_day_after_if_the_exchange_is_closed_for_both() -> None:
    assert since("XKRX", date(2023, 1, 20)) == [date(2023, 1, 20), date(2023, 1, 23), date(2023, 1, 24)]  # lunar new year


def test_the_close_is_that_of_the_year() -> None:
    before, later = window("XETR", date(2024, 10, 30)), window("XETR", date(2024, 11, 6))
    assert (before.known_until.time(), later.known_until.time()) == (utc(2024, 1, 1, 6, 15).time(), utc(2024, 1, 1, 6, 45).time())


@pytest.mark.parametrize("as_of", [date(2024, 7, 6), date(2090, 6, 2)])
def test_a_day_without_a_session_or_known_hours_has_no_window(as_of: date) -> None:
    assert lead_window("XNSE", as_of) is None


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_counted_session_ends_after_the_close_and_is_known_before_the_open(exchange: str) -> None:
    found = 0
    for day in sessions(exchange, first=date(2020, 1, 1), last=date(2026, 6, 30)):
        each = lead_window(exchange, day.date())
        if each is None:
            continue
        found += 1
        assert each.target == next_session(exchange, after=day.date())
        assert each.known_until <= each.deadline == each.opens - ISSUED_BEFORE
        for lead, days in each.sessions.items():
            schedule = schedule_of(exchange_of(lead))
            ends = [schedule.close(session) for session in days]
            assert ends[0] <= schedule_of(exchange).close(day.date()) < ends[1]
            assert ends[-1] + USABLE_AFTER <= each.known_until
            assert [day.date() for day in sessions(exchange_of(lead), first=days[0], last=days[-1])] == [*days]
    assert found > 1_400
