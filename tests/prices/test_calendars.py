"""Exchanges, currencies and sessions, compared with known days."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.prices.calendars import (
    BAR_SETTLES,
    bar_due,
    closed_days,
    is_provisional,
    is_session,
    last_completed_session,
    may_be_of,
    next_session,
    session_after,
    sessions,
)
from forecasting.prices.markets import TABLES

EXCHANGES = ["24/7", "24/5", "WEEKDAYS", "WEEK:MTWT--S", *sorted({exchange for exchange, *_ in TABLES["suffixes"].values()})]


@pytest.mark.parametrize(
    ("exchange", "day"),
    [
        ("BVMF", date(2024, 2, 12)),  # carnival
        ("BVMF", date(2024, 11, 20)),  # Black Awareness Day, closed since 2024
        ("BVMF", date(2024, 12, 24)),
        ("BVMF", date(2024, 12, 31)),
        ("XNAS", date(2025, 11, 27)),  # Thanksgiving
        ("ASEX", date(2025, 4, 21)),  # Orthodox Easter Monday
        ("XBSE", date(2025, 6, 9)),  # Orthodox Whit Monday
        ("XTAE", date(2025, 10, 1)),  # the eve of Yom Kippur
        ("XTAE", date(2022, 9, 26)),  # Rosh Hashanah
        ("XMUN", date(2025, 12, 25)),
        ("XNYS", date(2024, 7, 4)),
        ("XLON", date(2022, 9, 19)),  # the Queen's funeral
        ("XNYS", date(2024, 7, 6)),  # a Saturday
        ("24/5", date(2024, 7, 7)),
        ("WEEKDAYS", date(2024, 7, 7)),
    ],
)
def test_an_exchange_does_not_trade_on_its_holidays(exchange: str, day: date) -> None:
    assert not is_session(exchange, day)


@pytest.mark.parametrize(
    ("exchange", "day"),
    [
        ("BVMF", date(2024, 7, 4)),
        ("XNYS", date(2024, 11, 20)),
        ("24/7", date(2024, 7, 7)),
        ("24/5", date(2024, 12, 25)),
        ("WEEKDAYS", date(2024, 12, 25)),
    ],
)
def test_an_exchange_trades_on_other_days(exchange: str, day: date) -> None:
    assert is_session(exchange, day)


@pytest.mark.parametrize("day", [date(1905, 6, 1), date(1985, 6, 3), date(2350, 6, 3)])
def test_weekdays_are_sessions_if_the_holidays_are_unknown(day: date) -> None:
    assert is_session("XTKS", day) == (day.weekday() < 5)


def test_the_next_session_skips_weekend_and_holidays() -> None:
    assert next_session("BVMF", after=date(2024, 2, 9)) == date(2024, 2, 14)


@pytest.mark.parametrize(
    ("exchange", "count", "expected"),
    [
        ("BVMF", 1, date(2024, 2, 14)),  # after carnival
        ("BVMF", 5, date(2024, 2, 20)),
        ("XNYS", 5, date(2024, 2, 16)),
        ("XNYS", 6, date(2024, 2, 20)),  # after Presidents' Day
        ("24/7", 21, date(2024, 3, 1)),
    ],
)
def test_later_sessions_are_counted_over_holidays(exchange: str, count: int, expected: date) -> None:
    assert session_after(exchange, after=date(2024, 2, 9), count=count) == expected


def test_the_next_session_is_later_than_a_session() -> None:
    assert next_session("XNYS", after=date(2024, 7, 2)) == date(2024, 7, 3)


@pytest.mark.parametrize("exchange", ["XSHG", "XBOM"])
def test_the_next_session_is_found_beyond_the_years_of_known_holidays(exchange: str) -> None:
    assert next_session(exchange, after=date(2090, 6, 2)) == date(2090, 6, 5)


@pytest.mark.parametrize(
    ("exchange", "day", "provisional"),
    [
        ("XSHG", date(2026, 12, 31), False),
        ("XSHG", date(2027, 1, 1), True),
        ("XSHE", date(2027, 1, 4), True),
        ("XSES", date(2027, 1, 4), True),
        ("XNSE", date(2027, 1, 4), True),
        ("XNYS", date(2027, 1, 1), False),
        ("XTAE", date(2024, 1, 2), False),
        ("XKUW", date(2025, 6, 15), True),
        ("WEEKDAYS", date(2025, 6, 16), True),
        ("WEEK:MTWT--S", date(2025, 6, 16), True),
        ("24/7", date(2090, 6, 1), False),
        ("24/5", date(2090, 6, 2), False),
    ],
)
def test_a_session_is_provisional_if_the_holidays_are_unknown(exchange: str, day: date, provisional: bool) -> None:
    assert is_provisional(exchange, day) is provisional


def test_a_session_counts_once_it_has_closed_and_settled() -> None:
    close = datetime(2024, 7, 1, 20, tzinfo=UTC)  # 16:00 in New York
    assert last_completed_session("XNYS", now=close + BAR_SETTLES) == date(2024, 7, 1)


def test_a_session_does_not_count_before_it_has_settled() -> None:
    close = datetime(2024, 7, 1, 20, tzinfo=UTC)
    assert last_completed_session("XNYS", now=close + BAR_SETTLES - timedelta(seconds=1)) == date(2024, 6, 28)


def test_an_early_close_is_known() -> None:
    close = datetime(2024, 7, 3, 17, tzinfo=UTC)  # 13:00 in New York
    assert last_completed_session("XNYS", now=close + BAR_SETTLES) == date(2024, 7, 3)


def test_holidays_do_not_count_as_completed() -> None:
    assert last_completed_session("BVMF", now=datetime(2024, 2, 14, 12, tzinfo=UTC)) == date(2024, 2, 9)


def test_a_session_in_asia_counts_before_the_utc_day_ends() -> None:
    assert last_completed_session("XASX", now=datetime(2024, 7, 1, 7, tzinfo=UTC)) == date(2024, 7, 1)


def test_the_time_zone_of_now_does_not_matter() -> None:
    tokyo = timezone(timedelta(hours=9))
    now = datetime(2024, 7, 1, 20, 30, tzinfo=UTC)
    assert last_completed_session("XNYS", now=now.astimezone(tokyo)) == last_completed_session("XNYS", now=now)


def test_a_day_of_crypto_ends_at_midnight_utc() -> None:
    assert last_completed_session("24/7", now=datetime(2024, 7, 7, 0, 30, tzinfo=UTC)) == date(2024, 7, 6)


@pytest.mark.parametrize("day", [6, 7])
def test_the_last_day_of_a_currency_pair_is_friday_at_weekends(day: int) -> None:
    assert last_completed_session("24/5", now=datetime(2024, 7, day, 12, tzinfo=UTC)) == date(2024, 7, 5)


def test_a_day_of_a_currency_pair_ends_at_midnight_utc_and_settles() -> None:
    assert last_completed_session("24/5", now=datetime(2024, 7, 9, 0, 29, tzinfo=UTC)) == date(2024, 7, 5)
    assert last_completed_session("24/5", now=datetime(2024, 7, 9, 0, 30, tzinfo=UTC)) == date(2024, 7, 8)


def test_crypto_and_currencies_have_their_own_next_session() -> None:
    assert next_session("24/7", after=date(2024, 7, 5)) == date(2024, 7, 6)
    assert next_session("24/5", after=date(2024, 7, 5)) == date(2024, 7, 8)


@settings(deadline=None)  # the first use of an exchange builds its calendar
@given(exchange=st.sampled_from(EXCHANGES), seconds=st.integers(631_152_000, 2_840_140_800))  # 1990 to 2060
def test_sessions_complete_one_after_the_other(exchange: str, seconds: int) -> None:
    now = datetime.fromtimestamp(seconds, tz=UTC)
    last = last_completed_session(exchange, now=now)
    following = next_session(exchange, after=last)
    assert is_session(exchange, last)
    assert is_session(exchange, following)
    assert list(sessions(exchange, first=last, last=following)) == [pd.Timestamp(last), pd.Timestamp(following)]
    assert last < now.date() + timedelta(days=1)
    assert last_completed_session(exchange, now=now + timedelta(days=400)) >= following


def test_closed_days_are_those_without_a_session() -> None:
    days = pd.date_range("2024-07-01", "2024-07-07")
    assert [day.day for day in days[closed_days("XNYS", days)]] == [4, 6, 7]


def test_no_day_is_closed_if_holidays_are_unknown() -> None:
    days = pd.date_range("2024-07-01", "2024-07-07")
    assert not closed_days("WEEKDAYS", days).any()
    assert not closed_days("XNYS", days - pd.DateOffset(years=90)).any()


@pytest.mark.parametrize(
    ("exchange", "weekdays", "fits"),
    [("XNYS", 5, True), ("XNYS", 7, False), ("XKUW", 5, False), ("24/7", 7, True)],
)
def test_bars_with_another_trading_week_do_not_match_an_exchange(exchange: str, weekdays: int, fits: bool) -> None:
    days = pd.date_range("2025-02-03", "2025-06-01")
    assert may_be_of(exchange, days[days.day_of_week < weekdays]) is fits


def test_a_session_beyond_the_known_years_ends_at_midnight_utc() -> None:
    assert last_completed_session("XNYS", now=datetime(2090, 6, 7, 0, 29, tzinfo=UTC)) == date(2090, 6, 5)


def test_it_refuses_a_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="now must carry a time zone, found 2024-07-01T20:30:00"):
        last_completed_session("XNYS", now=datetime(2024, 7, 1, 20, 30))  # noqa: DTZ001  # refused by the function


def test_sessions_include_both_ends() -> None:
    days = sessions("XNYS", first=date(2024, 7, 3), last=date(2024, 7, 8))
    assert list(days) == [pd.Timestamp("2024-07-03"), pd.Timestamp("2024-07-05"), pd.Timestamp("2024-07-08")]


def test_there_are_no_sessions_in_a_range_that_ends_before_it_begins() -> None:
    assert sessions("XNYS", first=date(2024, 7, 3), last=date(2023, 7, 3)).empty


def test_sessions_continue_beyond_the_known_years() -> None:
    days = sessions("XNYS", first=date(2049, 12, 30), last=date(2050, 1, 4))
    assert [day.date() for day in days] == [date(2049, 12, 30), date(2049, 12, 31), date(2050, 1, 3), date(2050, 1, 4)]


def test_threads_may_ask_for_calendars_at_the_same_time() -> None:
    exchanges = ["XHKG", "XSTO", "XMEX", "XSWX"] * 4
    with ThreadPoolExecutor(len(exchanges)) as pool:
        answers = list(pool.map(lambda exchange: is_session(exchange, date(2024, 7, 2)), exchanges))
    assert all(answers)


@settings(deadline=None)  # the first use of an exchange reads its schedule
@given(
    exchange=st.sampled_from(["24/7", "24/5", "WEEKDAYS", "XNYS", "XTAE", "XASX"]),
    times=st.lists(st.datetimes(datetime(2019, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)), min_size=1, max_size=5),  # noqa: DTZ001
)
def test_the_last_completed_session_is_followed_by_one_that_is_not_complete(exchange: str, times: list[datetime]) -> None:
    for now in [*times, *(now + timedelta(days=1) for now in times)]:
        session = last_completed_session(exchange, now=now)
        assert is_session(exchange, session)
        assert bar_due(exchange, session) <= now < bar_due(exchange, next_session(exchange, after=session))
