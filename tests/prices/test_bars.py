"""The format of bars before the quality gate, and the error messages for other formats."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.bars import COLUMNS, BadBarsError, between, empty, shaped
from tests.fake_yahoo import generated_bars

FIRST, LAST = date(2024, 1, 1), date(2024, 1, 31)
DAY = pd.Timestamp("2024-01-10")


@pytest.fixture
def bars() -> pd.DataFrame:
    return generated_bars("TEST3.SA", first=FIRST, last=LAST)


def test_it_returns_good_bars_unchanged(bars: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(shaped(bars, symbol="TEST3.SA"), bars, check_freq=False)


def test_it_does_not_share_its_values_with_the_frame_it_was_given(bars: pd.DataFrame) -> None:
    before = bars.copy()
    shape = shaped(bars, symbol="TEST3.SA")
    shape.loc[DAY, "close"] = 1.0
    pd.testing.assert_frame_equal(bars, before)


def test_it_leaves_values_and_order_to_the_gate(bars: pd.DataFrame) -> None:
    bars.loc[DAY, "close"] = -1.0
    pd.testing.assert_frame_equal(shaped(bars.iloc[::-1], symbol="TEST3.SA"), bars.iloc[::-1], check_freq=False)


def test_it_drops_other_columns_and_orders_its_own(bars: pd.DataFrame) -> None:
    shuffled = bars.assign(dividends=0.0)[["dividends", "volume", "close", "low", "high", "open"]]
    assert tuple(shaped(shuffled, symbol="TEST3.SA").columns) == COLUMNS


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_frames_are_equal_for_any_datetime_unit(bars: pd.DataFrame, unit: str) -> None:
    other = bars.set_index(pd.DatetimeIndex(bars.index).as_unit(unit))  # type: ignore[arg-type]  # from the list above
    pd.testing.assert_frame_equal(shaped(other, symbol="TEST3.SA"), bars, check_freq=False)


def test_it_turns_whole_numbers_into_floats(bars: pd.DataFrame) -> None:
    whole = bars.assign(volume=bars["volume"].astype("int64"))
    assert set(shaped(whole, symbol="TEST3.SA").dtypes) == {np.dtype("float64")}


def test_it_names_the_missing_columns(bars: pd.DataFrame) -> None:
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the bars have no column low, volume"):
        shaped(bars.drop(columns=["low", "volume"]), symbol="TEST3.SA")


def test_it_refuses_dates_with_a_time_zone(bars: pd.DataFrame) -> None:
    zoned = bars.set_index(pd.DatetimeIndex(bars.index).tz_localize("America/Sao_Paulo"))
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the session dates have the time zone America/Sao_Paulo"):
        shaped(zoned, symbol="TEST3.SA")


def test_it_refuses_dates_with_a_time_of_day(bars: pd.DataFrame) -> None:
    timed = bars.set_index(pd.DatetimeIndex(bars.index) + pd.Timedelta(hours=10))
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: 2024-01-02 10:00:00 has a time of day"):
        shaped(timed, symbol="TEST3.SA")


def test_it_refuses_a_bar_without_a_date(bars: pd.DataFrame) -> None:
    dates = pd.DatetimeIndex([pd.NaT, *bars.index[1:]])
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: bar number 1 has no date"):
        shaped(bars.set_index(dates), symbol="TEST3.SA")


def test_it_refuses_an_index_that_holds_no_dates(bars: pd.DataFrame) -> None:
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the bars are indexed by int64"):
        shaped(bars.reset_index(drop=True), symbol="TEST3.SA")


def test_it_refuses_text(bars: pd.DataFrame) -> None:
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the bars hold something other than numbers .*'n/a'"):
        shaped(bars.astype(object).assign(close="n/a"), symbol="TEST3.SA")


def test_an_empty_frame_is_accepted() -> None:
    pd.testing.assert_frame_equal(shaped(empty(), symbol="TEST3.SA"), empty())


def test_between_includes_both_ends(bars: pd.DataFrame) -> None:
    kept = between(bars, first=date(2024, 1, 8), last=date(2024, 1, 10))
    assert [day.date() for day in kept.index] == [date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10)]


def test_between_starts_with_the_first_bar_if_no_first_day_is_given(bars: pd.DataFrame) -> None:
    assert between(bars, first=None, last=date(2024, 1, 10)).index[0] == bars.index[0]
