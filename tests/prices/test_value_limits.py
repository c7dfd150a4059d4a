"""The limits for prices within a bar: a price just below a limit gives another result than one just above it.

The usual move is 1 % and the usual range 2 %, if a test does not choose others.
"""

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.findings import Rule, Verdict
from tests.prices.even_bars import busy, even_bars, with_values
from tests.prices.gate import checked, dated, found, left_out, only

ROW = 150  # of a wrong price


def wick(bars: pd.DataFrame, size: float, *, row: int = ROW, column: str = "high") -> pd.DataFrame:
    """The bars with a high above, or a low below, open and close by exactly this log distance."""
    open_close = bars[["open", "close"]].iloc[row]
    price = float(open_close.max()) * np.exp(size) if column == "high" else float(open_close.min()) * np.exp(-size)
    return with_values(bars, row, **{column: price})


def leap(bars: pd.DataFrame, size: float) -> pd.DataFrame:
    """The bars with an open above the previous and its own close by at least this log distance."""
    price = max(float(bars["close"].iloc[ROW - 1]), float(bars["close"].iloc[ROW])) * np.exp(size)
    return with_values(bars, ROW, open=price, high=price)


def wide(bars: pd.DataFrame, size: float, row: int) -> pd.DataFrame:
    """The bars with one real range of this log size, on high volume."""
    bar = bars[["open", "close"]].iloc[row]
    return busy(with_values(bars, row, high=float(bar.min()) * np.exp(size), low=float(bar.min())), row, 9)


def missed(bars: pd.DataFrame, share: float, column: str) -> pd.DataFrame:
    """The bars with a high below, or a low above, the close by this share."""
    close = float(bars["close"].iloc[ROW])
    edge = close * (1 - share) if column == "high" else close * (1 + share)
    return with_values(bars, ROW, open=edge, high=edge, low=edge, close=close)


def rows(out: bool) -> list[int]:
    return [ROW] if out else []


@pytest.mark.parametrize("column", ["high", "low"])
@pytest.mark.parametrize(("size", "out"), [(0.19, False), (0.21, True)])
def test_a_wick_is_implausible_from_10_usual_ranges_on(size: float, column: str, out: bool) -> None:
    assert left_out(wick(even_bars(), size, column=column)) == rows(out)


@pytest.mark.parametrize("column", ["high", "low"])
@pytest.mark.parametrize(("size", "out"), [(0.019, False), (0.021, True)])
def test_a_wick_of_less_than_2_percent_is_always_plausible(size: float, column: str, out: bool) -> None:
    assert left_out(wick(even_bars(move=0.0005, reach=0.0005), size, column=column)) == rows(out)


@pytest.mark.parametrize("other", [ROW - 1, ROW - 20])
@pytest.mark.parametrize(("size", "out"), [(0.23, False), (0.25, True)])
def test_a_wick_outdoes_the_ranges_of_the_last_20_bars_threefold(other: int, size: float, out: bool) -> None:
    assert left_out(wick(wide(even_bars(), 0.08, other), size)) == rows(out)


def test_a_range_more_than_20_bars_before_a_wick_does_not_matter() -> None:
    assert left_out(wick(wide(even_bars(), 0.08, ROW - 21), 0.23)) == [ROW]


@pytest.mark.parametrize(("size", "out"), [(0.95, False), (1.05, True)])
def test_after_a_very_wide_range_only_an_unbelievable_wick_is_left_out(size: float, out: bool) -> None:
    assert left_out(wick(wide(even_bars(), 0.45, ROW - 5), size)) == rows(out)


@pytest.mark.parametrize(
    ("size", "times", "out"),
    [
        (0.3, 1.9, True), (0.3, 2.1, False), (0.48, 2.1, False), (0.52, 2.1, True), (0.52, 4.9, True), (0.52, 5.1, False),
        (0.95, 5.1, False), (0.95, 99.0, False), (1.05, 99.0, True),
    ],
)  # fmt: skip
def test_a_larger_wick_needs_more_volume_to_be_believed(size: float, times: float, out: bool) -> None:
    assert left_out(busy(wick(even_bars(), size), ROW, times)) == rows(out)


@pytest.mark.parametrize(("size", "out"), [(0.15, False), (0.17, True)])
def test_an_open_is_implausible_from_8_usual_ranges_on(size: float, out: bool) -> None:
    assert left_out(leap(even_bars(), size)) == rows(out)


@pytest.mark.parametrize(("size", "out"), [(0.19, False), (0.21, True)])
def test_an_open_outdoes_earlier_ranges_twofold(size: float, out: bool) -> None:
    assert left_out(leap(wide(even_bars(), 0.1, ROW - 5), size)) == rows(out)


@pytest.mark.parametrize(("times", "out"), [(2.1, True), (4.9, True), (5.1, False)])
def test_an_open_needs_much_volume_to_be_believed(times: float, out: bool) -> None:
    assert left_out(busy(leap(even_bars(), 0.3), ROW, times)) == rows(out)


def test_the_first_bar_has_no_earlier_range_to_compare_its_wick_with() -> None:
    assert left_out(wick(even_bars(), 0.3, row=0)) == []
    assert left_out(wick(even_bars(), 0.3, row=1)) == [1]


def test_an_open_at_which_the_price_stays_is_plausible() -> None:
    bars = even_bars()
    close = float(bars["close"].iloc[ROW])
    assert left_out(with_values(bars, ROW, open=close, high=close, low=close)) == []


def test_the_volume_of_the_first_sessions_confirms_nothing() -> None:
    assert left_out(busy(wick(even_bars(), 0.3, row=9), 9, 5)) == [9]
    assert left_out(busy(wick(even_bars(), 0.3, row=10), 10, 5)) == []


@pytest.mark.parametrize("column", ["high", "low"])
@pytest.mark.parametrize(("share", "out"), [(0.0049, False), (0.0051, True)])
def test_a_range_may_miss_the_close_by_half_a_percent_if_prices_hardly_move(share: float, column: str, out: bool) -> None:
    assert left_out(missed(even_bars(move=0.0005, reach=0.001), share, column)) == rows(out)


@pytest.mark.parametrize("column", ["high", "low"])
@pytest.mark.parametrize(("share", "out"), [(0.029, False), (0.031, True)])
def test_a_range_may_miss_the_close_by_3_usual_ranges(share: float, column: str, out: bool) -> None:
    assert left_out(missed(even_bars(reach=0.01), share, column)) == rows(out)


@pytest.mark.parametrize("column", ["high", "low"])
@pytest.mark.parametrize(("share", "out"), [(0.049, False), (0.051, True)])
def test_a_range_may_miss_the_close_by_5_percent_at_most(share: float, column: str, out: bool) -> None:
    assert left_out(missed(even_bars(reach=0.05), share, column)) == rows(out)


def test_a_range_that_misses_the_close_is_told_in_percent() -> None:
    day = even_bars().index[ROW].date()
    assert only(missed(even_bars(), 0.02, "high")).text == f"high or low of {day} missed the open or close by 2 %; it was widened"
    (finding, *_) = checked(missed(even_bars(), 0.08, "low")).findings
    assert finding.text.endswith("missed the open or close by 8 %; left out")
    assert finding.value == pytest.approx(0.08)


def test_a_range_misses_by_the_larger_of_both_sides() -> None:
    bars = even_bars()
    opened, close = 50.0, 50.0 * np.exp(0.01)
    both = with_values(bars, ROW, open=opened, high=close * 0.999, low=opened * 1.004, close=close)
    assert only(both).value == pytest.approx(0.004)


def test_a_bar_left_out_for_a_far_price_is_told_with_its_prices() -> None:
    bars = with_values(even_bars(), ROW, open=50.0, high=100.0, low=49.5, close=50.25)
    assert only(bars).text == (
        f"open, high, low and close of {bars.index[ROW].date()} are 50, 100, 49.5 and 50.25: one of them is wrong; left out"
    )


def test_an_open_is_filled_with_the_close_of_the_last_kept_bar() -> None:
    bars = with_values(with_values(even_bars(), ROW, open=0.0), ROW - 1, close=-1.0)
    assert checked(bars).bars["open"].loc[bars.index[ROW]] == bars["close"].iloc[ROW - 2]


def test_of_two_equal_and_one_other_bar_of_a_date_none_is_used() -> None:
    bars = even_bars()
    other = with_values(bars, ROW, volume=7.0)
    passed = checked(pd.concat([bars, bars.iloc[[ROW]], other.iloc[[ROW]]]))
    assert len(passed.bars) == len(bars) - 1
    assert dated(passed.findings, Verdict.LEFT_OUT) == [(Rule.DUPLICATE, bars.index[ROW].date())]


def test_a_wick_does_not_justify_another_one_after_it() -> None:
    assert found(wick(wick(even_bars(), 0.5), 0.6, row=ROW + 3)) == [
        (Rule.UNIT, Verdict.LEFT_OUT, ROW), (Rule.UNIT, Verdict.LEFT_OUT, ROW + 3)
    ]  # fmt: skip
