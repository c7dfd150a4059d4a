"""The limits of a step of the price, and of newest bars that wait: one just below a limit gives another result than one above.

The usual move is 1 % and the usual range 2 %, if a test does not choose others.
"""

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.price_digits import written
from tests.prices.even_bars import DAYS, after_a_move, busy, even_bars, moved, uneven_bars, with_values
from tests.prices.gate import checked, dated, findings_of, refusal

ROW = 150  # of a step


def has_step(bars: pd.DataFrame) -> bool:
    """Whether the gate finds a wrong factor at `ROW`, after which too few bars follow."""
    return (Rule.STEP, bars.index[ROW].date()) in dated(findings_of(bars), Verdict.REFUSED)


# Steps


@pytest.mark.parametrize(("size", "found"), [(0.21, False), (0.22, True), (-0.21, False), (-0.22, True)])
def test_a_wrong_factor_is_at_least_that_of_a_split_of_5_to_4(size: float, found: bool) -> None:
    assert has_step(moved(even_bars(), ROW, size)) == found


@pytest.mark.parametrize(("size", "found"), [(0.29, False), (0.31, True)])
def test_a_step_is_at_least_10_times_as_large_as_the_usual_move_before(size: float, found: bool) -> None:
    assert has_step(moved(uneven_bars(ROW, 0.03, 0.01), ROW, size)) == found


@pytest.mark.parametrize(("size", "found"), [(0.29, False), (0.31, True)])
def test_a_step_is_at_least_10_times_as_large_as_the_usual_move_after(size: float, found: bool) -> None:
    assert has_step(moved(uneven_bars(ROW, 0.01, 0.03), ROW, size)) == found


@pytest.mark.parametrize("other", [ROW - 60, ROW - 1, ROW + 1, ROW + 10])
@pytest.mark.parametrize(("size", "found"), [(0.23, False), (0.25, True)])
def test_a_step_outdoes_the_moves_around_it_by_half(other: int, size: float, found: bool) -> None:
    assert has_step(moved(after_a_move(0.16, other), ROW, size)) == found


@pytest.mark.parametrize("other", [ROW - 61, ROW + 11])
def test_moves_more_than_a_quarter_before_or_two_weeks_after_do_not_matter(other: int) -> None:
    assert has_step(moved(after_a_move(0.16, other), ROW, 0.23))


def test_early_moves_are_judged_like_later_ones() -> None:
    step = moved(even_bars(), 40, 0.23)
    assert (Rule.STEP, DAYS[40].date()) in dated(findings_of(step), Verdict.REFUSED)
    assert findings_of(busy(step, 40, 4)) == []
    assert findings_of(moved(moved(even_bars(), 1, 0.16), 40, 0.23)) == []


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


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0.5, ", +64.9 % overnight on usual volume: a split or a wrong factor, not a move; only 150 good bars follow "),
        (np.log(100), ", about a hundred times: two units are mixed; only 150 good bars follow "),
    ],
)
def test_a_step_that_stays_is_told_with_its_factor(size: float, told: str) -> None:
    assert told in refusal(moved(even_bars(), ROW, size)).reason


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
    bars = moved(uneven_bars(ROW, 0.01, 0.05), ROW, 0.3)
    assert bool(checked(bars[: ROW + 1 + later]).held) == waits


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0.5, ", +64.9 % on usual volume: a wrong price or a wrong factor; "),
        (-0.5, ", -39.3 % on usual volume: a wrong price or a wrong factor; "),
        (np.log(9.5), ", +850 % on usual volume: a wrong price or a wrong factor; "),
        (np.log(10.5), ", 10.5 times that on usual volume: a wrong price or a wrong factor; "),
        (np.log(100), ", about a hundred times on usual volume: two units are mixed; "),
        (-np.log(100), ", about a hundredth on usual volume: two units are mixed; "),
    ],
)
def test_a_waiting_step_is_told_with_its_factor(size: float, told: str) -> None:
    assert told in checked(moved(even_bars(ROW + 2), ROW, size)).held


def test_the_price_before_a_jump_is_that_of_the_last_kept_bar() -> None:
    bars = with_values(moved(even_bars(ROW + 2), ROW, 0.5), ROW - 1, close=0.0)
    assert f" after {written(bars['close'].iloc[ROW - 2])} on {DAYS[ROW - 2].date()}, " in checked(bars).held
