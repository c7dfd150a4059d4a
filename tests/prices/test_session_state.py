"""The session under way: its state at known moments, and the share of its trading time that has passed."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.prices.calendars import BAR_SETTLES, bar_due, last_completed_session, next_session
from forecasting.prices.session_state import SessionState, TradingSession, elapsed, session_at, traded_for

CLOSED, PRE, OPEN, SETTLING = SessionState.CLOSED, SessionState.PRE, SessionState.OPEN, SessionState.SETTLING
EXCHANGES = ["24/7", "24/5", "WEEKDAYS", "XKUW", "XTAE", "XNYS", "XTKS", "XASX", "BVMF", "XSHG"]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]  # year, month, day, hour, minute


@pytest.mark.parametrize(
    ("exchange", "now", "session", "state"),
    [
        ("XNYS", utc(2024, 7, 1, 3, 59), date(2024, 7, 1), CLOSED),  # Sunday evening in New York
        ("XNYS", utc(2024, 7, 1, 4), date(2024, 7, 1), PRE),
        ("XNYS", utc(2024, 7, 1, 13, 29), date(2024, 7, 1), PRE),
        ("XNYS", utc(2024, 7, 1, 13, 30), date(2024, 7, 1), OPEN),
        ("XNYS", utc(2024, 7, 1, 19, 59), date(2024, 7, 1), OPEN),
        ("XNYS", utc(2024, 7, 1, 20), date(2024, 7, 1), SETTLING),
        ("XNYS", utc(2024, 7, 1, 20, 29), date(2024, 7, 1), SETTLING),
        ("XNYS", utc(2024, 7, 1, 20, 30), date(2024, 7, 2), CLOSED),
        ("XNYS", utc(2024, 7, 3, 17), date(2024, 7, 3), SETTLING),  # a half day
        ("XNYS", utc(2024, 7, 4, 15), date(2024, 7, 5), CLOSED),  # a holiday
        ("XTKS", utc(2024, 6, 30, 15), date(2024, 7, 1), PRE),  # midnight in Tokyo
        ("XTKS", utc(2024, 7, 1, 3), date(2024, 7, 1), OPEN),  # the lunch break
        ("XASX", utc(2024, 11, 3, 23), date(2024, 11, 4), OPEN),  # on the UTC date before
        ("24/7", utc(2024, 7, 7, 0, 10), date(2024, 7, 6), SETTLING),
        ("24/7", utc(2024, 7, 7, 0, 30), date(2024, 7, 7), OPEN),
        ("24/5", utc(2024, 7, 6, 0, 10), date(2024, 7, 5), SETTLING),
        ("24/5", utc(2024, 7, 6, 12), date(2024, 7, 8), CLOSED),
        ("24/5", utc(2024, 7, 8), date(2024, 7, 8), OPEN),
    ],
)
def test_the_state_of_a_session_follows_the_exchanges_hours(exchange: str, now: datetime, session: date, state: str) -> None:
    found = session_at(exchange, now=now)
    assert (found.session, found.state) == (session, state)


@pytest.mark.parametrize("exchange", ["WEEKDAYS", "XKUW", "XTAE", "WEEK:MTWT--S"])
def test_an_exchange_with_unknown_opening_times_is_always_closed(exchange: str) -> None:
    moments = [utc(2024, 7, 1) + timedelta(hours=hour) for hour in range(7 * 24)]
    found = [session_at(exchange, now=now) for now in moments]
    assert {(each.state, each.opens) for each in found} == {(CLOSED, None)}


def test_a_session_beyond_the_years_of_known_holidays_is_closed() -> None:
    assert session_at("XSHG", now=utc(2027, 3, 2, 3)).state == CLOSED


def test_hours_are_those_of_the_session_in_utc() -> None:
    now = utc(2024, 7, 3, 15)
    expected = TradingSession(session=date(2024, 7, 3), state=OPEN, opens=utc(2024, 7, 3, 13, 30), closes=utc(2024, 7, 3, 17))
    assert session_at("XNYS", now=now) == expected


def test_the_day_of_a_coin_has_24_hours() -> None:
    found = session_at("24/7", now=utc(2024, 7, 7, 12))
    assert (found.opens, found.closes) == (utc(2024, 7, 7), utc(2024, 7, 8))


def test_it_refuses_a_time_without_a_zone() -> None:
    with pytest.raises((TypeError, ValueError)):
        session_at("XNYS", now=datetime(2024, 7, 1, 15))  # noqa: DTZ001  # refused by the function


@settings(deadline=None)  # the first use of an exchange builds its calendar
@given(
    exchange=st.sampled_from(EXCHANGES),
    times=st.lists(st.datetimes(datetime(2019, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)), min_size=1, max_size=5),  # noqa: DTZ001
)
def test_an_answer_does_not_depend_on_earlier_questions(exchange: str, times: list[datetime]) -> None:
    for now in [*times, *(now + timedelta(hours=1) for now in times)]:
        found = session_at(exchange, now=now)
        assert found.session == next_session(exchange, after=last_completed_session(exchange, now=now))
        assert now < bar_due(exchange, found.session)
        assert (found.state == OPEN) == (found.opens is not None and found.opens <= now < found.closes)
        assert (found.state == SETTLING) == (found.opens is not None and found.closes <= now < found.closes + BAR_SETTLES)


@pytest.mark.parametrize(
    ("exchange", "session", "moment", "share"),
    [
        ("XNYS", date(2024, 7, 1), utc(2024, 7, 1, 12), 0.0),
        ("XNYS", date(2024, 7, 1), utc(2024, 7, 1, 16, 45), 0.5),
        ("XNYS", date(2024, 7, 1), utc(2024, 7, 1, 23), 1.0),
        ("XNYS", date(2024, 7, 3), utc(2024, 7, 3, 15, 15), 0.5),  # a half day
        ("XTKS", date(2024, 7, 1), utc(2024, 7, 1, 2, 30), 0.5),  # before lunch
        ("XTKS", date(2024, 7, 1), utc(2024, 7, 1, 3), 0.5),  # during lunch
        ("XTKS", date(2024, 7, 1), utc(2024, 7, 1, 3, 30), 0.5),  # after lunch
        ("XTKS", date(2024, 7, 1), utc(2024, 7, 1, 4, 45), 0.75),
        ("XHKG", date(2024, 12, 24), utc(2024, 12, 24, 3), 0.6),  # a half day without lunch
        ("XSHG", date(2024, 7, 1), utc(2024, 7, 1, 5), 0.5),
        ("24/7", date(2024, 7, 1), utc(2024, 7, 1, 6), 0.25),
    ],
)
def test_the_elapsed_share_counts_trading_time_only(exchange: str, session: date, moment: datetime, share: float) -> None:
    assert elapsed(exchange, session, moment) == pytest.approx(share)


def test_trading_time_leaves_lunch_out() -> None:
    assert traded_for("XTKS", date(2024, 7, 1), utc(2024, 7, 1, 5)) == timedelta(hours=4)


def test_there_is_no_elapsed_share_without_an_opening_time() -> None:
    with pytest.raises(ValueError, match="XKUW has no known opening time on 2024-07-01"):
        elapsed("XKUW", date(2024, 7, 1), utc(2024, 7, 1, 8))
