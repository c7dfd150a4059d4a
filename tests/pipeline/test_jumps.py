"""Jumps that no market makes, made from seeded bars, and jumps that markets do make."""

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.bars import PRICES
from forecasting.pipeline.calendars import sessions
from forecasting.pipeline.findings import Finding, Rule, Verdict
from forecasting.pipeline.jumps import jump_findings
from tests.pipeline.market_data import rescaled, session_bars

ROW = 204  # an ordinary session, 2020-10-22
ONE_SESSION, THREE_SESSIONS = slice(ROW, ROW + 1), slice(ROW, ROW + 3)
FROM_THEN_ON = slice(ROW, None)


@pytest.fixture
def bars() -> pd.DataFrame:
    return session_bars()


def found(bars: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Rule, verdict and row of each finding."""
    days = [day.date() for day in bars.index]
    return [(each.rule, each.verdict, days.index(each.date)) for each in jump_findings(bars) if each.date]


def traded(bars: pd.DataFrame, rows: slice, times: float) -> pd.DataFrame:
    """With that much more volume."""
    return rescaled(bars, rows, times, columns=("volume",))


def only(bars: pd.DataFrame) -> Finding:
    (finding,) = jump_findings(bars)
    return finding


def test_a_quiet_history_has_none(bars: pd.DataFrame) -> None:
    assert jump_findings(bars) == []


# Units


@pytest.mark.parametrize("factor", [100.0, 0.01, 80.0, 1 / 120])
def test_a_change_of_unit_is_refused(bars: pd.DataFrame, factor: float) -> None:
    assert found(rescaled(bars, FROM_THEN_ON, factor)) == [(Rule.UNIT, Verdict.REFUSED, ROW)]


def test_a_session_in_another_unit_is_refused_at_both_ends(bars: pd.DataFrame) -> None:
    changed = rescaled(bars, ONE_SESSION, 0.01)
    assert found(changed) == [(Rule.UNIT, Verdict.REFUSED, ROW), (Rule.UNIT, Verdict.REFUSED, ROW + 1)]


def test_two_units_in_one_bar_are_refused(bars: pd.DataFrame) -> None:
    finding = only(rescaled(bars, ONE_SESSION, 0.01, columns=("low",)))
    assert (finding.rule, finding.verdict, finding.value) == (Rule.UNIT, Verdict.REFUSED, bars["low"].iloc[ROW] / 100)
    assert finding.text.endswith("in one bar of 2020-10-22: two units are mixed")


def test_a_unit_is_found_in_the_newest_of_few_bars(bars: pd.DataFrame) -> None:
    few = bars[-11:]
    assert found(rescaled(few, slice(10, None), 100.0)) == [(Rule.UNIT, Verdict.REFUSED, 10)]


def test_the_text_says_from_what_to_what(bars: pd.DataFrame) -> None:
    before, after = bars["close"].iloc[ROW - 1], bars["close"].iloc[ROW] / 100
    text = f"close is {after:g} on 2020-10-22 after {before:g} on 2020-10-21, about a hundredth: two units are mixed"
    assert only(rescaled(bars, FROM_THEN_ON, 0.01)).text == text


# Steps


@pytest.mark.parametrize("factor", [2.19, 1 / 2, 2 / 3, 1 / 7, 10.0])
def test_a_step_overnight_on_usual_volume_is_refused(bars: pd.DataFrame, factor: float) -> None:
    assert found(rescaled(bars, FROM_THEN_ON, factor)) == [(Rule.STEP, Verdict.REFUSED, ROW)]


def test_a_split_that_divides_volume_too_is_refused(bars: pd.DataFrame) -> None:
    split = rescaled(rescaled(bars, FROM_THEN_ON, 1 / 7), FROM_THEN_ON, 7, columns=("volume",))
    assert found(split) == [(Rule.STEP, Verdict.REFUSED, ROW)]


def test_a_step_of_the_newest_bar_is_refused_at_once(bars: pd.DataFrame) -> None:
    assert found(rescaled(bars[: ROW + 1], FROM_THEN_ON, 0.5)) == [(Rule.STEP, Verdict.REFUSED, ROW)]


def test_a_step_is_found_behind_the_few_bars_of_an_increment(bars: pd.DataFrame) -> None:
    increment = rescaled(bars[: ROW + 1], FROM_THEN_ON, 0.5)[-11:]
    assert found(increment) == [(Rule.STEP, Verdict.REFUSED, 10)]


def test_a_step_without_volume_is_only_noted(bars: pd.DataFrame) -> None:
    finding = only(rescaled(bars.assign(volume=0.0), FROM_THEN_ON, 0.5))
    assert (finding.rule, finding.verdict) == (Rule.STEP, Verdict.NOTED)
    assert finding.text.endswith("overnight; without volume nothing tells whether that is true")


@pytest.mark.parametrize("factor", [1e-6, 1 / 30, 30.0, 1e4])
def test_a_step_that_no_session_makes_is_refused_whatever_else(bars: pd.DataFrame, factor: float) -> None:
    assert found(rescaled(bars.assign(volume=0.0), FROM_THEN_ON, factor)) == [(Rule.STEP, Verdict.REFUSED, ROW)]


@pytest.mark.parametrize("factor", [0.4, 0.5, 1.6, 2.2])
def test_a_crash_or_takeover_that_trades_is_true(bars: pd.DataFrame, factor: float) -> None:
    assert jump_findings(rescaled(traded(bars, ONE_SESSION, 12), FROM_THEN_ON, factor)) == []


def test_a_crash_that_goes_on_during_the_session_is_true(bars: pd.DataFrame) -> None:
    crash = rescaled(bars, FROM_THEN_ON, 0.5)
    assert jump_findings(rescaled(crash, ONE_SESSION, 1.5, columns=("open", "high"))) == []


def test_a_bankruptcy_that_trades_is_true(bars: pd.DataFrame) -> None:
    assert jump_findings(rescaled(traded(bars, ONE_SESSION, 200), FROM_THEN_ON, 0.03)) == []


# Spikes


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("factor", [0.5, 1.6, 3.0])
def test_a_spike_that_reverts_is_refused(bars: pd.DataFrame, factor: float, length: int) -> None:
    assert found(rescaled(bars, slice(ROW, ROW + length), factor)) == [(Rule.SPIKE, Verdict.REFUSED, ROW)]


def test_a_small_spike_is_noted() -> None:
    bars = session_bars()
    calm = bars.assign(**{column: 50 * (bars[column] / 50) ** 0.3 for column in PRICES})  # a third of the volatility
    assert found(rescaled(calm, ONE_SESSION, 0.82)) == [(Rule.SPIKE, Verdict.NOTED, ROW)]


def test_a_spike_without_volume_is_refused_because_it_reverts(bars: pd.DataFrame) -> None:
    assert found(rescaled(bars.assign(volume=0.0), THREE_SESSIONS, 1.6)) == [(Rule.SPIKE, Verdict.REFUSED, ROW)]


def test_a_squeeze_that_trades_is_true(bars: pd.DataFrame) -> None:
    assert jump_findings(rescaled(traded(bars, slice(ROW, ROW + 4), 15), THREE_SESSIONS, 1.8)) == []


# False alarms


def fat_tailed(seed: int, count: int = 750) -> pd.DataFrame:
    """A history with Student's t of 4 degrees of freedom, breaks of its volatility and, up to 12 % a session, wild ones.

    Part of each move happens overnight; volume rises with the size of the move beside those of the last quarter.
    """
    rng = np.random.default_rng(seed)
    level = np.log(rng.uniform(0.006, 0.05)) * np.ones(count)
    for start in rng.integers(0, count, rng.integers(1, 5)):
        level[start:] += rng.normal(0, 0.9)
    volatility = np.exp(level).clip(0.001, 0.12)
    moves = volatility * rng.standard_t(4, count) / np.sqrt(2)
    price = np.log(50) + np.cumsum(moves - moves.mean())
    opening = np.exp(np.concatenate([[np.log(50)], price[:-1]]) + rng.uniform(0.1, 1.0, count) * moves)
    close, reach = np.exp(price), np.exp(0.6 * volatility * np.abs(rng.standard_normal((2, count))))
    usual = pd.Series(np.abs(moves)).rolling(60, min_periods=1).mean().shift(1).bfill().to_numpy()
    volume = 1e6 * np.exp(0.4 * rng.standard_normal(count)) * (1 + np.abs(moves) / usual)
    prices = {"open": opening, "high": np.maximum(opening, close) * reach[0], "low": np.minimum(opening, close) / reach[1]}
    return pd.DataFrame(prices | {"close": close, "volume": volume}, index=DAYS[:count])


DAYS = sessions("XNYS", first=pd.Timestamp("2015-01-02").date(), last=pd.Timestamp("2019-12-31").date())


def test_a_thousand_wild_histories_raise_no_alarm() -> None:
    large, alarms = 0, []
    for seed in range(1000):
        bars = fat_tailed(seed)
        large += int((np.log(bars["close"]).diff().abs() > np.log(1.45)).sum())
        alarms += [(seed, each) for each in jump_findings(bars) if each.verdict == Verdict.REFUSED]
    assert large > 500  # they are as wild as they are meant to be
    assert alarms == []
