"""Online calibration: bounded, determined by past outcomes, with quick recovery of nominal coverage."""

import math

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.adaptation import (
    RECENT_OUTCOMES,
    adapted,
    adapted_horizon,
    horizon_factor,
    next_factor,
    recent_outcomes,
    stretched,
)
from forecasting.pipeline.model.features import Array

CONFIG = ForecastConfig()
LEVELS = np.array(CONFIG.quantile_levels)
NORMAL = np.array([-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449])  # quantiles of the standard normal
STEP = 0.003  # of the log factor, per session and unit of coverage error
BOUNDS = (math.exp(-0.5), math.exp(0.5))


def factors_for(actual: Array) -> Array:
    """Factors for forecasts that are always the standard normal's quantiles."""
    factors: Array = adapted(np.tile(NORMAL, (len(actual), 1)), actual, LEVELS, interval=CONFIG.interval_levels)
    return factors


def held(actual: Array, factors: Array | float) -> Array:
    """1 if the outcome lies in the stretched interval [0.1, 0.9] of the standard normal, else 0."""
    inside: Array = (np.abs(actual) <= NORMAL[5] * factors).astype(np.float64)
    return inside


def broken(seed: int, *, scale: float, before: int = 500, after: int = 1_000) -> Array:
    """Standard normal outcomes until a break, then with another volatility; the forecasts do not change."""
    outcomes = np.random.default_rng(seed).standard_normal(before + after)
    outcomes[before:] *= scale
    return outcomes


def test_a_close_outside_widens_and_one_inside_narrows() -> None:
    assert next_factor(1.0, [True] * 9 + [False], level=0.8) == pytest.approx(math.exp(0.8 * STEP))
    assert next_factor(1.0, [True] * 10, level=0.8) == pytest.approx(math.exp(-0.2 * STEP))


def test_the_step_grows_if_recent_coverage_deviates_more_than_by_chance() -> None:
    usual = next_factor(1.0, [True] * 79 + [False] * 21, level=0.8)
    bad = next_factor(1.0, [True] * 60 + [False] * 40, level=0.8)

    assert math.log(bad) > 20 * math.log(usual) > 0


@pytest.mark.parametrize(("covered", "times"), [(73, 1.0), (71, 2.25**2), (87, 1.0), (89, 2.25**2)])
def test_the_step_grows_with_the_square_of_a_deviation_of_more_than_2_standard_errors(covered: int, times: float) -> None:
    """100 outcomes at a level of 80 % have a standard error of 4."""
    recent = [True] * covered + [False] * (100 - covered)

    assert math.log(next_factor(1.0, recent, level=0.8)) == pytest.approx(0.8 * STEP * times)


@pytest.mark.parametrize(("missed", "times"), [(9, 1.0), (11, 2.2**2)])
def test_missing_outcomes_count_as_covered_at_the_level(missed: int, times: float) -> None:
    assert math.log(next_factor(1.0, [False] * missed, level=0.8)) == pytest.approx(0.8 * STEP * times)


def test_only_recent_outcomes_count() -> None:
    recent = [True] * 60 + [False] * 40

    assert next_factor(1.0, [False] * 500 + recent, level=0.8) == next_factor(1.0, recent, level=0.8)


@pytest.mark.parametrize(("scale", "bound"), [(100.0, BOUNDS[1]), (0.01, BOUNDS[0])])
def test_the_factor_always_stays_within_its_bounds(scale: float, bound: float) -> None:
    factors = factors_for(broken(1, scale=scale))

    assert factors[-1] == pytest.approx(bound)
    assert (factors >= BOUNDS[0] * (1 - 1e-12)).all()
    assert (factors <= BOUNDS[1] * (1 + 1e-12)).all()


def test_the_outcomes_determine_the_factors_to_the_last_bit() -> None:
    outcomes = broken(2, scale=1.5)

    np.testing.assert_array_equal(factors_for(outcomes), factors_for(outcomes.copy()))


def test_a_factor_depends_only_on_earlier_outcomes() -> None:
    outcomes = broken(3, scale=1.5)
    other = np.concatenate([outcomes[:600], 9 * outcomes[600:]])

    np.testing.assert_array_equal(factors_for(other)[:601], factors_for(outcomes)[:601])
    np.testing.assert_array_equal(factors_for(outcomes[:600]), factors_for(outcomes)[:601])


def test_it_continues_from_an_earlier_factor() -> None:
    outcomes = np.random.default_rng(4).standard_normal(1)

    (first, _) = adapted(NORMAL[None], outcomes, LEVELS, interval=CONFIG.interval_levels, factor=1.3)

    assert first == 1.3


@pytest.mark.parametrize("edge", [NORMAL[1], NORMAL[5]])
def test_an_outcome_at_the_edge_of_the_interval_is_inside(edge: float) -> None:
    np.testing.assert_allclose(np.log(factors_for(np.array([edge])))[1], -0.2 * STEP)


@pytest.mark.parametrize("outside", [-1.3, 1.3])
def test_an_outcome_beyond_either_edge_is_outside(outside: float) -> None:
    np.testing.assert_allclose(np.log(factors_for(np.array([outside])))[1], 0.8 * STEP)


def test_each_outcome_is_compared_with_the_interval_as_it_was_stretched() -> None:
    factors = adapted(np.tile(NORMAL, (2, 1)), np.array([1.9, -1.95]), LEVELS, interval=CONFIG.interval_levels, factor=1.5)

    np.testing.assert_allclose(np.diff(np.log(factors)), [-0.2 * STEP, 0.8 * STEP])


def test_a_stretch_keeps_the_median_and_the_order() -> None:
    wide = stretched(0.2 + NORMAL[None], np.array([1.4]))

    np.testing.assert_allclose(wide, 0.2 + 1.4 * NORMAL[None])


def test_each_forecast_is_stretched_by_its_own_factor() -> None:
    wide = stretched(np.tile(0.2 + NORMAL, (2, 3, 1)), np.array([[1.0, 1.2, 1.4], [0.5, 0.8, 2.0]]))

    np.testing.assert_allclose(wide[0, 2], 0.2 + 1.4 * NORMAL)
    np.testing.assert_allclose(wide[1, 0], 0.2 + 0.5 * NORMAL)


def test_calibrated_forecasts_hardly_change() -> None:
    factors = np.array([factors_for(np.random.default_rng(seed).standard_normal(750)) for seed in range(20)])

    assert np.abs(np.log(factors)).mean() < 0.08
    assert np.abs(np.log(factors[:, -1])).max() < 0.35


@pytest.mark.parametrize("scale", [1.5, 0.67])
def test_coverage_recovers_within_200_sessions_of_a_break_only_with_adaptation(scale: float) -> None:
    outcomes = [broken(seed, scale=scale) for seed in range(40)]

    adaptive = np.mean([held(each, factors_for(each)[:-1]) for each in outcomes], axis=0)
    fixed = np.mean([held(each, 1.0) for each in outcomes], axis=0)

    # Coverage error of 40 symbols in successive blocks of 50 sessions after the break.
    errors, unadapted = (np.abs(record[500:].reshape(-1, 50).mean(axis=1) - 0.8) for record in (adaptive, fixed))
    assert unadapted.min() > 0.1
    assert errors[0] > 0.1
    assert errors[4:].max() < 0.05
    assert errors[8:].mean() < 0.02


def test_in_the_long_run_coverage_misses_its_level_by_no_more_than_the_factors_range_allows() -> None:
    rng = np.random.default_rng(5)
    outcomes = rng.standard_normal(20_000) * np.exp(0.25 * np.sin(np.arange(20_000) / 300))

    factors = factors_for(outcomes)

    assert BOUNDS[0] < factors.min() < factors.max() < BOUNDS[1]
    assert abs(held(outcomes, factors[:-1]).mean() - 0.8) <= 1 / (STEP * len(outcomes))  # 1: the range of the log factor


def test_the_first_outcomes_do_not_count_as_a_break() -> None:
    few = [False] * 5

    assert next_factor(1.0, few, level=0.8) == pytest.approx(math.exp(0.8 * STEP))


def factors_over(moves: Array, sessions: int, earlier: tuple[int, int] = (0, 0)) -> tuple[Array, tuple[int, int]]:
    """Factors and final record for forecasts of `sessions` standard normal moves that are always the same."""
    ends = np.concatenate([[0.0], np.cumsum(moves)])
    actual = np.append(ends[sessions:] - ends[:-sessions], np.full(sessions, np.nan)) / math.sqrt(sessions)
    quantiles = np.tile(NORMAL, (len(actual), 1))
    return adapted_horizon(quantiles, actual, LEVELS, interval=CONFIG.interval_levels, sessions=sessions, earlier=earlier)


def test_without_outcomes_a_horizon_has_no_factor() -> None:
    assert horizon_factor(0, 0, sessions=5, level=0.8) == 1.0


def test_the_factor_of_a_horizon_is_proportional_to_its_coverage_error() -> None:
    wide, wider = (horizon_factor(500, 400 - missed, sessions=5, level=0.8) for missed in (25, 50))

    assert math.log(wide) == pytest.approx(4.5 / math.sqrt(5) * 0.05)
    assert math.log(wider) == pytest.approx(2 * math.log(wide))
    assert horizon_factor(500, 425, sessions=5, level=0.8) == pytest.approx(1 / wide)


def test_longer_horizons_and_fewer_outcomes_move_the_factor_less() -> None:
    usual = horizon_factor(500, 350, sessions=5, level=0.8)

    assert 1 < horizon_factor(500, 350, sessions=21, level=0.8) < usual
    assert 1 < horizon_factor(50, 35, sessions=5, level=0.8) < usual


def test_earlier_outcomes_fill_up_what_is_missing() -> None:
    assert recent_outcomes(0, 0, earlier=(500, 420)) == (500, 420)
    assert recent_outcomes(100, 70, earlier=(400, 320)) == (500, 390)
    assert recent_outcomes(100, 70, earlier=(500, 420)) == (500, 70 + 0.8 * 420)
    assert recent_outcomes(500, 390, earlier=(500, 420)) == (500, 390)


def test_the_factor_of_a_row_uses_only_outcomes_that_have_ended() -> None:
    moves = np.random.default_rng(4).standard_normal(700)
    changed = np.concatenate([moves[:400], 9 * moves[400:]])

    (factors, _), (others, _) = (factors_over(each, 10) for each in (moves, changed))

    np.testing.assert_array_equal(factors[:401], others[:401])  # row 400 knows the move that ends there
    assert not np.array_equal(factors[401:], others[401:])
    assert (factors[:10] == 1).all()


def test_the_record_is_of_the_last_outcomes() -> None:
    moves = np.random.default_rng(4).standard_normal(800)
    factors, (number, covered) = factors_over(moves, 5)
    ends = np.concatenate([[0.0], np.cumsum(moves)])
    actual = (ends[5:] - ends[:-5]) / math.sqrt(5)

    assert number == RECENT_OUTCOMES
    assert covered == held(actual, factors[: len(actual)])[-RECENT_OUTCOMES:].sum()


def test_a_backtests_record_starts_the_live_factor() -> None:
    moves = 1.3 * np.random.default_rng(4).standard_normal(800)
    _, record = factors_over(moves, 5)

    factors, _ = factors_over(moves[:20], 5, earlier=record)

    assert factors[0] == horizon_factor(*record, sessions=5, level=0.8) > 1.1


@pytest.mark.parametrize(("scale", "sessions"), [(1.3, 5), (0.75, 5), (1.3, 21), (0.75, 21)])
def test_intervals_of_a_wrong_width_come_nearer_to_their_level(scale: float, sessions: int) -> None:
    error_before, error_after = [], []
    for seed in range(20):
        moves = scale * np.random.default_rng(seed).standard_normal(2_500)
        factors, _ = factors_over(moves, sessions)
        ends = np.concatenate([[0.0], np.cumsum(moves)])
        actual = (ends[sessions:] - ends[:-sessions]) / math.sqrt(sessions)
        error_before.append(held(actual, 1.0).mean() - 0.8)
        error_after.append(held(actual, factors[: len(actual)])[500:].mean() - 0.8)

    assert abs(np.mean(error_after)) < 0.75 * abs(np.mean(error_before))
