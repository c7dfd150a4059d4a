"""Trading weeks: of markets without a library calendar, and as inferred from bars."""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.calendars import closed_days, is_session, last_completed_session, next_session, sessions
from forecasting.prices.weeks import LEARNED_AT_LEAST, is_unknown, trading_days, week_of


def days_of(mask: str, *, count: int = 120, first: str = "2025-01-01") -> pd.DatetimeIndex:
    """The first `count` days with these weekdays, Monday first."""
    return pd.bdate_range(first, periods=count, freq="C", weekmask=mask)


@pytest.mark.parametrize(
    ("exchange", "day", "following"),
    [
        ("XKUW", date(2025, 6, 12), date(2025, 6, 15)),
        ("DSMD", date(2025, 6, 12), date(2025, 6, 15)),
        ("XCAI", date(2025, 6, 12), date(2025, 6, 15)),
        ("XSAU", date(2025, 6, 12), date(2025, 6, 15)),
        ("XSAU", date(2031, 6, 12), date(2031, 6, 15)),  # beyond the library's years
        ("XSAU", date(2012, 6, 6), date(2012, 6, 9)),  # Saturday to Wednesday, until 2013
        ("XDFM", date(2021, 6, 10), date(2021, 6, 13)),
        ("XDFM", date(2022, 6, 9), date(2022, 6, 10)),  # Monday to Friday, since 2022
        ("XTAE", date(2025, 6, 5), date(2025, 6, 8)),
        ("XTAE", date(2026, 1, 8), date(2026, 1, 9)),  # Monday to Friday, since 2026
        ("XTAE", date(2026, 1, 9), date(2026, 1, 12)),
        ("WEEK:MTWT--S", date(2025, 6, 12), date(2025, 6, 15)),
    ],
)
def test_a_market_has_its_own_week(exchange: str, day: date, following: date) -> None:
    assert next_session(exchange, after=day) == following


@pytest.mark.parametrize(
    ("exchange", "day"),
    [
        ("XKUW", date(2025, 2, 25)),  # National Day
        ("XKUW", date(2025, 3, 31)),  # Eid al-Fitr
        ("DSMD", date(2024, 12, 18)),
        ("XCAI", date(2024, 1, 7)),  # Coptic Christmas
        ("XDFM", date(2025, 6, 5)),  # the day before Eid al-Adha
        ("XSTC", date(2025, 9, 2)),
        ("BVCA", date(2024, 7, 5)),
    ],
)
def test_a_certain_holiday_is_not_a_session(exchange: str, day: date) -> None:
    assert not is_session(exchange, day)


def test_no_session_is_missing_at_a_weekend_of_friday_and_saturday() -> None:
    assert last_completed_session("XKUW", now=datetime(2025, 6, 14, 12, tzinfo=UTC)) == date(2025, 6, 12)


@pytest.mark.parametrize(("hour", "day"), [(10, 12), (11, 15)])
def test_a_session_closes_in_local_time(hour: int, day: int) -> None:
    now = datetime(2025, 6, 15, hour, tzinfo=UTC)  # Kuwait closes at 9:45 UTC
    assert last_completed_session("XKUW", now=now) == date(2025, 6, day)


def test_only_days_on_which_a_market_is_certainly_closed_are_closed() -> None:
    week = pd.date_range("2025-06-09", "2025-06-15")
    assert [day.day for day in week[closed_days("XKUW", week)]] == [13, 14]
    assert not closed_days("XKUW", week - pd.DateOffset(years=30)).any()
    assert not closed_days("WEEK:MTWT--S", week).any()


def test_a_learned_week_has_its_sessions() -> None:
    days = sessions("WEEK:MT---SS", first=date(2025, 6, 9), last=date(2025, 6, 16))
    assert [day.day for day in days] == [9, 10, 14, 15, 16]


# Inferred from bars


@pytest.mark.parametrize(
    ("mask", "code"),
    [
        ("1111100", "WEEKDAYS"),
        ("1111001", "WEEK:MTWT--S"),
        ("1110011", "WEEK:MTW--SS"),
        ("1111111", "WEEK:MTWTFSS"),
        ("1111110", "WEEK:MTWTFS-"),
    ],
)
def test_bars_show_the_week_of_their_market(mask: str, code: str) -> None:
    assert week_of(days_of(mask)) == code


def test_a_week_of_a_share_that_trades_on_a_third_of_all_days_is_learned() -> None:
    days = days_of("1111001", count=1200)
    traded = np.random.default_rng(1).random(len(days)) < 1 / 3
    assert week_of(days[traded]) == "WEEK:MTWT--S"


def test_no_week_is_inferred_from_few_bars() -> None:
    assert week_of(days_of("1111001", count=LEARNED_AT_LEAST - 1)) == "WEEKDAYS"
    assert week_of(days_of("1111001", count=0)) == "WEEKDAYS"


def test_special_sessions_at_weekends_do_not_change_the_week() -> None:
    days = days_of("1111100").union(pd.DatetimeIndex(["2025-02-01", "2025-03-01", "2025-05-04"]))
    assert week_of(days) == "WEEKDAYS"


def test_a_change_of_week_is_learned() -> None:
    before = days_of("1111001", count=1000, first="2021-01-01")
    after = days_of("1111100", count=119, first=str(before[-1].date()))
    assert week_of(before.union(after)) == "WEEKDAYS"


def test_an_unknown_market_is_recognised_and_has_its_trading_days() -> None:
    assert [is_unknown(code) for code in ("WEEKDAYS", "WEEK:MTWT--S", "XKUW", "24/7")] == [True, True, False, False]
    assert trading_days("WEEK:MTWT--S") == "Mon Tue Wed Thu Sun"
