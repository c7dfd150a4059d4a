"""The limits of plausible jumps: a jump just below a limit gives another result than one just above it.

The usual move is 1 % and the usual range 2 %, if a test does not choose others.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.bars import BadBarsError
from forecasting.prices.findings import Finding, Rule, Verdict
from forecasting.prices.price_digits import written
from tests.prices.even_bars import DAYS, busy, even_bars, from_moves, moved, with_values
from tests.prices.gate import checked, dated, left_out, refusal

ROW = 150  # of a jump


def spike(size: float, *, length: int = 1, row: int = ROW, **usual: float) -> pd.DataFrame:
    """Even bars with an excursion of this log size."""
    return moved(even_bars(**usual), row, size, length=length)


def uneven(before: float, after: float, *, reach: float = 0.05) -> pd.DataFrame:
    """Bars with one usual move before `ROW` and another from it on."""
    size = np.where(np.arange(300) < ROW, before, after)
    return from_moves(size * np.where(np.arange(300) % 2, 1, -1), reach=reach)


def after_a_move(size: float, row: int) -> pd.DataFrame:
    """Even bars with one real move of this size, on high volume."""
    return busy(moved(even_bars(), row, size), row, 20)


def spike_rows(length: int, row: int = ROW) -> list[int]:
    return list(range(row, row + length))


def has_step(bars: pd.DataFrame) -> bool:
    """Whether the gate finds a wrong factor at `ROW`, after which too few bars follow."""
    return (Rule.STEP, bars.index[ROW].date()) in dated(findings_of(bars), Verdict.REFUSED)


def findings_of(bars: pd.DataFrame) -> Sequence[Finding]:
    """The findings, whether the bars pass or are refused."""
    try:
        return checked(bars).findings
    except BadBarsError as error:
        return error.findings


# Excursions


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


@pytest.mark.parametrize(("size", "length"), [(0.17, 0), (0.19, 1)])
def test_a_spike_outdoes_moves_during_it_threefold(size: float, length: int) -> None:
    bars = moved(moved(even_bars(), ROW, size, length=6), ROW + 3, 0.06, length=3)
    assert left_out(bars) == spike_rows(6 * length)


@pytest.mark.parametrize(("size", "length"), [(0.41, 0), (0.43, 1)])
def test_moves_after_a_small_spike_or_a_long_one_are_compared_with_it_more_strictly(size: float, length: int) -> None:
    assert left_out(moved(uneven(0.01, 0.03), ROW, size, length=4)) == spike_rows(4 * length)


@pytest.mark.parametrize(("size", "length"), [(0.27, 0), (0.29, 1)])
def test_a_clear_spike_is_at_least_7_times_as_large_as_later_moves(size: float, length: int) -> None:
    assert left_out(moved(uneven(0.01, 0.04), ROW, size, length=1)) == spike_rows(length)


@pytest.mark.parametrize(("size", "length"), [(0.29, 0), (0.31, 1)])
def test_a_clear_spike_outdoes_earlier_moves_by_half(size: float, length: int) -> None:
    assert left_out(moved(after_a_move(0.2, ROW - 20), ROW, size, length=1)) == spike_rows(length)


@pytest.mark.parametrize(("length", "expected"), [(3, 3), (4, 0)])
def test_a_clear_spike_is_short(length: int, expected: int) -> None:
    assert left_out(moved(uneven(0.01, 0.04), ROW, 0.3, length=length)) == spike_rows(expected)


@pytest.mark.parametrize(("size", "length"), [(0.24, 0), (0.26, 1)])
def test_a_clear_spike_is_large(size: float, length: int) -> None:
    assert left_out(moved(uneven(0.01, 0.03), ROW, size, length=1)) == spike_rows(length)


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


# Steps


@pytest.mark.parametrize(("size", "found"), [(0.21, False), (0.22, True), (-0.21, False), (-0.22, True)])
def test_a_wrong_factor_is_at_least_that_of_a_split_of_5_to_4(size: float, found: bool) -> None:
    assert has_step(moved(even_bars(), ROW, size)) == found


@pytest.mark.parametrize(("size", "found"), [(0.29, False), (0.31, True)])
def test_a_step_is_at_least_10_times_as_large_as_the_usual_move_before(size: float, found: bool) -> None:
    assert has_step(moved(uneven(0.03, 0.01), ROW, size)) == found


@pytest.mark.parametrize(("size", "found"), [(0.29, False), (0.31, True)])
def test_a_step_is_at_least_10_times_as_large_as_the_usual_move_after(size: float, found: bool) -> None:
    assert has_step(moved(uneven(0.01, 0.03), ROW, size)) == found


@pytest.mark.parametrize("other", [ROW - 60, ROW - 1, ROW + 1, ROW + 10])
@pytest.mark.parametrize(("size", "found"), [(0.23, False), (0.25, True)])
def test_a_step_outdoes_the_moves_around_it_by_half(other: int, size: float, found: bool) -> None:
    assert has_step(moved(after_a_move(0.16, other), ROW, size)) == found


@pytest.mark.parametrize("other", [ROW - 61, ROW + 11])
def test_moves_more_than_a_quarter_before_or_two_weeks_after_do_not_matter(other: int) -> None:
    assert has_step(moved(after_a_move(0.16, other), ROW, 0.23))


def test_an_earlier_step_does_not_hide_a_later_one() -> None:
    assert has_step(moved(moved(even_bars(), ROW - 25, 0.3), ROW, -0.35))


@pytest.mark.parametrize(("times", "found"), [(3.0, True), (3.25, False)])
def test_a_move_is_no_step_if_volume_confirms_it(times: float, found: bool) -> None:
    assert has_step(busy(moved(even_bars(), ROW, 0.25), ROW, times)) == found


@pytest.mark.parametrize(("times", "found"), [(3.0 * np.exp(0.25), True), (3.25 * np.exp(0.25), False)])
def test_turnover_must_confirm_a_fall_as_well(times: float, found: bool) -> None:
    assert has_step(busy(moved(even_bars(), ROW, -0.25), ROW, times)) == found


def session(bars: pd.DataFrame, *, inside: float, reach: float) -> pd.DataFrame:
    """The bars with this log move from open to close, and this log range, in the session of `ROW`."""
    close = float(bars["close"].iloc[ROW])
    rest = (reach - inside) / 2
    return with_values(bars, ROW, open=close * np.exp(-inside), high=close * np.exp(rest), low=close * np.exp(-inside - rest))


@pytest.mark.parametrize(("inside", "found"), [(0.055, True), (0.065, False)])
def test_a_move_from_open_to_close_of_4_usual_moves_is_calm(inside: float, found: bool) -> None:
    bars = moved(even_bars(move=0.015, reach=0.05), ROW, 0.25)
    assert has_step(session(bars, inside=inside, reach=0.1)) == found


@pytest.mark.parametrize(("reach", "found"), [(0.14, True), (0.16, False)])
def test_a_range_of_3_usual_ranges_is_calm(reach: float, found: bool) -> None:
    bars = moved(even_bars(reach=0.05), ROW, 0.25)
    assert has_step(session(bars, inside=0.01, reach=reach)) == found


@pytest.mark.parametrize(("reach", "found"), [(0.055, True), (0.065, False)])
def test_if_bars_have_no_range_3_usual_moves_are_calm(reach: float, found: bool) -> None:
    bars = moved(even_bars(move=0.02, reach=0.02), ROW, 0.25)
    flat = bars.assign(open=bars["close"], high=bars["close"], low=bars["close"])
    assert has_step(session(flat, inside=0.01, reach=reach)) == found


@pytest.mark.parametrize(("inside", "reach", "found"), [(0.095, 0.1, True), (0.105, 0.11, False), (0.05, 0.11, False)])
def test_a_session_is_calm_if_a_sixth_of_the_step_happens_in_it(inside: float, reach: float, found: bool) -> None:
    assert has_step(session(moved(even_bars(), ROW, 0.6), inside=inside, reach=reach)) == found


@pytest.mark.parametrize(("sessions", "found"), [(7, True), (8, False)])
def test_after_a_gap_of_more_than_10_days_any_move_is_plausible(sessions: int, found: bool) -> None:
    bars = moved(even_bars(), ROW, 0.5)
    gappy = bars.drop(bars.index[ROW - sessions : ROW])
    days = (bars.index[ROW] - bars.index[ROW - sessions - 1]).days
    assert days == {True: 10, False: 11}[found]
    assert (Rule.STEP in {each.rule for each in findings_of(gappy)}) == found


@pytest.mark.parametrize(("factor", "verdict"), [(19.9, Verdict.NOTED), (20.1, Verdict.REFUSED)])
def test_without_volume_only_a_factor_above_20_is_certainly_wrong(factor: float, verdict: Verdict) -> None:
    bars = moved(even_bars(), ROW, np.log(factor)).assign(volume=0.0)
    bars = with_values(bars, 5, volume=1.0)
    assert (Rule.STEP, bars.index[ROW].date()) in dated(findings_of(bars), verdict)


@pytest.mark.parametrize(
    ("factor", "rule"), [(49.5, Rule.STEP), (50.5, Rule.UNIT), (199.5, Rule.UNIT), (200.5, Rule.STEP), (1 / 60, Rule.UNIT)]
)
def test_a_factor_near_100_is_another_unit(factor: float, rule: Rule) -> None:
    (worst, *_) = refusal(moved(even_bars(), ROW, np.log(factor))).findings
    assert worst.rule == rule


# Newest bars


@pytest.mark.parametrize(("size", "waits"), [(0.135, False), (0.145, True), (-0.135, False), (-0.145, True)])
def test_the_newest_bar_waits_from_14_usual_moves_on(size: float, waits: bool) -> None:
    assert bool(checked(moved(even_bars(ROW + 1), ROW, size)).held) == waits


@pytest.mark.parametrize(("size", "waits"), [(0.17, False), (0.19, True)])
def test_the_newest_bar_waits_if_it_outdoes_earlier_moves_threefold(size: float, waits: bool) -> None:
    assert bool(checked(moved(after_a_move(0.06, ROW - 20), ROW, size)[: ROW + 1]).held) == waits


@pytest.mark.parametrize(("times", "waits"), [(2.85, True), (3.0, False)])
def test_the_newest_bar_does_not_wait_if_volume_confirms_it(times: float, waits: bool) -> None:
    assert bool(checked(busy(moved(even_bars(ROW + 1), ROW, 0.17), ROW, times)).held) == waits


def test_only_the_newest_bar_waits_for_confirmation() -> None:
    assert checked(moved(even_bars(ROW + 2), ROW, 0.17)).held == ""


@pytest.mark.parametrize(("later", "waits"), [(4, True), (5, False)])
def test_a_step_is_compared_with_later_moves_from_a_week_on(later: int, waits: bool) -> None:
    bars = moved(uneven(0.01, 0.05), ROW, 0.3)
    assert bool(checked(bars[: ROW + 1 + later]).held) == waits


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0.5, ", +64.9 % on usual volume: a wrong price or a wrong factor; "),
        (-0.5, ", -39.3 % on usual volume: a wrong price or a wrong factor; "),
        (np.log(12), ", 12 times that on usual volume: a wrong price or a wrong factor; "),
        (np.log(100), ", about a hundred times on usual volume: two units are mixed; "),
        (-np.log(100), ", about a hundredth on usual volume: two units are mixed; "),
    ],
)
def test_a_waiting_step_is_told_with_its_factor(size: float, told: str) -> None:
    assert told in checked(moved(even_bars(ROW + 2), ROW, size)).held


def test_the_price_before_a_jump_is_that_of_the_last_kept_bar() -> None:
    bars = with_values(moved(even_bars(ROW + 2), ROW, 0.5), ROW - 1, close=0.0)
    assert f" after {written(bars['close'].iloc[ROW - 2])} on {DAYS[ROW - 2].date()}, " in checked(bars).held
