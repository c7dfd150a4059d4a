"""The limits of an excursion of the price: one just below a limit gives another result than one just above it.

The usual move is 1 % and the usual range 2 %, if a test does not choose others.
"""

import pandas as pd
import pytest

from forecasting.prices.findings import Rule, Verdict
from tests.prices.even_bars import after_a_move, busy, even_bars, moved, uneven_bars, with_values
from tests.prices.gate import dated, findings_of, left_out

ROW = 150  # of a spike


def spike(size: float, *, length: int = 1, row: int = ROW, move: float = 0.01, reach: float = 0.02) -> pd.DataFrame:
    """Even bars with an excursion of this log size."""
    return moved(even_bars(move=move, reach=reach), row, size, length=length)


def spike_rows(length: int, row: int = ROW) -> list[int]:
    return list(range(row, row + length))


@pytest.mark.parametrize(("size", "length"), [(0.135, 0), (0.145, 1), (-0.135, 0), (-0.145, 1)])
def test_a_spike_is_at_least_14_times_as_large_as_the_usual_move(size: float, length: int) -> None:
    assert left_out(spike(size)) == spike_rows(length)


@pytest.mark.parametrize(("size", "length"), [(0.29, 0), (0.31, 1)])
def test_a_large_spike_is_at_least_10_times_as_large_as_the_usual_move(size: float, length: int) -> None:
    assert left_out(spike(size, move=0.03, reach=0.05)) == spike_rows(length)


@pytest.mark.parametrize(("size", "length"), [(0.009, 0), (0.011, 1)])
def test_a_move_of_less_than_1_percent_is_never_a_spike(size: float, length: int) -> None:
    assert left_out(spike(size, move=0.0005, reach=0.001)) == spike_rows(length)


@pytest.mark.parametrize(("size", "length"), [(0.17, 0), (0.19, 1)])
def test_a_spike_outdoes_earlier_moves_threefold(size: float, length: int) -> None:
    assert left_out(moved(after_a_move(0.06, ROW - 20), ROW, size, length=1)) == spike_rows(length)


@pytest.mark.parametrize("other", [1, 3, 5])
@pytest.mark.parametrize(("size", "length"), [(0.17, 0), (0.19, 1)])
def test_a_spike_outdoes_moves_during_it_threefold(other: int, size: float, length: int) -> None:
    bars = moved(moved(even_bars(), ROW, size, length=6), ROW + other, 0.06, length=6 - other)
    assert left_out(bars) == spike_rows(6 * length)


@pytest.mark.parametrize(("size", "length"), [(0.41, 0), (0.43, 1)])
def test_moves_after_a_small_spike_or_a_long_one_are_compared_with_it_more_strictly(size: float, length: int) -> None:
    assert left_out(moved(uneven_bars(ROW, 0.01, 0.03), ROW, size, length=4)) == spike_rows(4 * length)


@pytest.mark.parametrize(("size", "length"), [(0.27, 0), (0.29, 1)])
def test_a_clear_spike_is_at_least_7_times_as_large_as_later_moves(size: float, length: int) -> None:
    assert left_out(moved(uneven_bars(ROW, 0.01, 0.04), ROW, size, length=1)) == spike_rows(length)


@pytest.mark.parametrize(("size", "length"), [(0.29, 0), (0.31, 1)])
def test_a_clear_spike_outdoes_earlier_moves_by_half(size: float, length: int) -> None:
    assert left_out(moved(after_a_move(0.2, ROW - 20), ROW, size, length=1)) == spike_rows(length)


@pytest.mark.parametrize(("length", "expected"), [(3, 3), (4, 0)])
def test_a_clear_spike_is_short(length: int, expected: int) -> None:
    assert left_out(moved(uneven_bars(ROW, 0.01, 0.04), ROW, 0.3, length=length)) == spike_rows(expected)


@pytest.mark.parametrize(("size", "length"), [(0.24, 0), (0.26, 1)])
def test_a_clear_spike_is_large(size: float, length: int) -> None:
    assert left_out(moved(uneven_bars(ROW, 0.01, 0.03), ROW, size, length=1)) == spike_rows(length)


@pytest.mark.parametrize(("length", "expected"), [(20, 20), (21, 0)])
def test_a_spike_reverts_within_20_bars(length: int, expected: int) -> None:
    assert left_out(spike(0.17, length=length)) == spike_rows(expected)


@pytest.mark.parametrize(("row", "expected"), [(12, 4), (11, 0)])
def test_the_level_before_a_spike_lasted_three_times_as_long(row: int, expected: int) -> None:
    assert left_out(spike(0.2, length=4, row=row)) == spike_rows(expected, row)


@pytest.mark.parametrize(("missed", "length"), [(0.19, 1), (0.21, 0), (-0.19, 1), (-0.21, 0)])
def test_a_price_is_back_if_it_misses_the_old_level_by_a_fifth_of_the_spike(missed: float, length: int) -> None:
    bars = moved(moved(even_bars(), ROW, 0.2), ROW + 1, (missed - 1) * 0.2)
    assert left_out(bars) == spike_rows(length)


@pytest.mark.parametrize(("share", "found"), [(0.55, True), (0.45, False)])
def test_a_gradual_return_is_no_spike(share: float, found: bool) -> None:
    bars = moved(moved(moved(even_bars(), ROW, 0.3), ROW + 1, (share - 1) * 0.3), ROW + 2, -share * 0.3)
    assert ((Rule.SPIKE, bars.index[ROW].date()) in dated(findings_of(bars), Verdict.LEFT_OUT)) == found


@pytest.mark.parametrize(("times", "length"), [(2.85, 1), (3.0, 0)])
def test_a_spike_in_a_calm_session_needs_much_volume_to_be_believed(times: float, length: int) -> None:
    assert left_out(busy(spike(0.17), ROW, times)) == spike_rows(length)


@pytest.mark.parametrize(("times", "length"), [(1.7, 1), (1.8, 0)])
def test_a_spike_that_happens_during_a_session_needs_less_volume_to_be_believed(times: float, length: int) -> None:
    bars = spike(0.17)
    low, previous = float(bars["low"].iloc[ROW]), float(bars["close"].iloc[ROW - 1])
    bars = with_values(bars, ROW, open=previous, low=min(low, previous))
    assert left_out(busy(bars, ROW, times)) == spike_rows(length)


def test_two_spikes_within_a_quarter_do_not_hide_each_other() -> None:
    bars = moved(spike(0.2, length=2), ROW + 30, -0.2, length=3)
    assert left_out(bars) == [*spike_rows(2), *spike_rows(3, ROW + 30)]


def test_volume_counts_in_any_unit() -> None:
    single = spike(0.17).assign(volume=1.0)
    assert left_out(single) == [ROW]
    assert left_out(with_values(single, ROW, volume=3.0)) == []
