"""The bars contract: what passes, what is repaired, what is refused and in which words."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.bars import COLUMNS, RANGE_TOLERANCE, BadBarsError, between, empty, validated
from tests.fake_yahoo import generated_bars

FIRST, LAST = date(2024, 1, 1), date(2024, 1, 31)
DAY = pd.Timestamp("2024-01-10")


@pytest.fixture
def bars() -> pd.DataFrame:
    return generated_bars("TEST3.SA", first=FIRST, last=LAST)


def test_it_returns_good_bars_unchanged(bars: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(validated(bars, symbol="TEST3.SA"), bars, check_freq=False)


def test_it_does_not_change_the_frame_it_was_given(bars: pd.DataFrame) -> None:
    bars["high"] = bars[["open", "close"]].max(axis="columns") * (1 - 1e-9)
    before = bars.copy()
    validated(bars, symbol="TEST3.SA")
    pd.testing.assert_frame_equal(bars, before)


def test_it_drops_other_columns_and_orders_its_own(bars: pd.DataFrame) -> None:
    shuffled = bars.assign(dividends=0.0)[["dividends", "volume", "close", "low", "high", "open"]]
    assert tuple(validated(shuffled, symbol="TEST3.SA").columns) == COLUMNS


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_it_gives_equal_frames_whatever_the_unit_of_the_dates(bars: pd.DataFrame, unit: str) -> None:
    other = bars.set_index(pd.DatetimeIndex(bars.index).as_unit(unit))  # type: ignore[arg-type]  # from the list above
    pd.testing.assert_frame_equal(validated(other, symbol="TEST3.SA"), bars, check_freq=False)


def test_it_turns_whole_numbers_into_floats(bars: pd.DataFrame) -> None:
    whole = bars.assign(volume=bars["volume"].astype("int64"))
    assert set(validated(whole, symbol="TEST3.SA").dtypes) == {np.dtype("float64")}


@pytest.mark.parametrize("column", ["open", "close"])
def test_it_widens_a_range_that_misses_the_open_or_close_by_rounding(bars: pd.DataFrame, column: str) -> None:
    bars["high"] = bars[["open", "close"]].max(axis="columns") * (1 - RANGE_TOLERANCE / 2)
    bars["low"] = bars[["open", "close"]].min(axis="columns") * (1 + RANGE_TOLERANCE / 2)
    repaired = validated(bars, symbol="TEST3.SA")
    assert ((repaired["low"] <= bars[column]) & (bars[column] <= repaired["high"])).all()


def test_it_refuses_a_high_below_the_close(bars: pd.DataFrame) -> None:
    bars.loc[DAY, ["open", "high", "low", "close"]] = [10, 11, 9, 12]
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: high 11 on 2024-01-10 is below the open or close, 12; correct"):
        validated(bars, symbol="TEST3.SA")


def test_it_refuses_a_low_above_the_open(bars: pd.DataFrame) -> None:
    bars.loc[DAY, ["open", "high", "low", "close"]] = [8, 12, 9, 11]
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: low 9 on 2024-01-10 is above the open or close, 8; correct"):
        validated(bars, symbol="TEST3.SA")


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
@pytest.mark.parametrize("value", [0.0, -1.5, float("nan"), float("inf")])
def test_it_refuses_a_price_that_is_none(bars: pd.DataFrame, column: str, value: float) -> None:
    bars.loc[DAY, column] = value
    with pytest.raises(BadBarsError, match=rf"TEST3\.SA: {column} is {value:g} on 2024-01-10, .* above zero; correct"):
        validated(bars, symbol="TEST3.SA")


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_it_refuses_a_volume_that_is_none(bars: pd.DataFrame, value: float) -> None:
    bars.loc[DAY, "volume"] = value
    with pytest.raises(BadBarsError, match=rf"TEST3\.SA: volume is {value:g} on 2024-01-10, .* zero or more; correct"):
        validated(bars, symbol="TEST3.SA")


def test_it_accepts_a_session_without_trades(bars: pd.DataFrame) -> None:
    bars.loc[DAY, "volume"] = 0
    assert validated(bars, symbol="TEST3.SA").loc[DAY, "volume"] == 0


def test_it_names_the_missing_columns(bars: pd.DataFrame) -> None:
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the bars have no column low, volume"):
        validated(bars.drop(columns=["low", "volume"]), symbol="TEST3.SA")


def test_it_refuses_two_bars_of_one_session(bars: pd.DataFrame) -> None:
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: there are two bars of 2024-01-10"):
        validated(pd.concat([bars, bars.loc[[DAY]]]).sort_index(), symbol="TEST3.SA")


def test_it_refuses_bars_out_of_order(bars: pd.DataFrame) -> None:
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the bars are out of order: 2024-01-30 follows 2024-01-31"):
        validated(bars.iloc[::-1], symbol="TEST3.SA")


def test_it_refuses_dates_with_a_time_zone(bars: pd.DataFrame) -> None:
    zoned = bars.set_index(pd.DatetimeIndex(bars.index).tz_localize("America/Sao_Paulo"))
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the session dates carry the time zone America/Sao_Paulo"):
        validated(zoned, symbol="TEST3.SA")


def test_it_refuses_dates_with_a_time_of_day(bars: pd.DataFrame) -> None:
    timed = bars.set_index(pd.DatetimeIndex(bars.index) + pd.Timedelta(hours=10))
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: 2024-01-02 10:00:00 has a time of day"):
        validated(timed, symbol="TEST3.SA")


def test_it_refuses_a_bar_without_a_date(bars: pd.DataFrame) -> None:
    dates = pd.DatetimeIndex([pd.NaT, *bars.index[1:]])
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: bar number 1 has no date"):
        validated(bars.set_index(dates), symbol="TEST3.SA")


def test_it_refuses_an_index_that_holds_no_dates(bars: pd.DataFrame) -> None:
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the bars are indexed by int64"):
        validated(bars.reset_index(drop=True), symbol="TEST3.SA")


def test_it_refuses_text(bars: pd.DataFrame) -> None:
    with pytest.raises(BadBarsError, match=r"TEST3\.SA: the bars hold something other than numbers .*'n/a'"):
        validated(bars.astype(object).assign(close="n/a"), symbol="TEST3.SA")


def test_no_bars_keep_the_contract() -> None:
    pd.testing.assert_frame_equal(validated(empty(), symbol="TEST3.SA"), empty())


def test_between_includes_both_ends(bars: pd.DataFrame) -> None:
    kept = between(bars, first=date(2024, 1, 8), last=date(2024, 1, 10))
    assert [day.date() for day in kept.index] == [date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10)]


def test_between_begins_at_the_beginning_where_no_first_day_is_given(bars: pd.DataFrame) -> None:
    assert between(bars, first=None, last=date(2024, 1, 10)).index[0] == bars.index[0]
