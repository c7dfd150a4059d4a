"""Shrinking the median, stretching the interval, and reading a probability from quantiles."""

import numpy as np
import pytest

from forecasting.pipeline.calibration import (
    SPREAD_BOUNDS,
    UNCALIBRATED,
    Calibration,
    fit_calibration,
    fit_median_weight,
    fit_spread,
    probability_up,
)
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.features import Array

CONFIG = ForecastConfig()
LEVELS = np.array(CONFIG.quantile_levels)
NORMAL = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])  # quantiles of the standard normal


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def forecasts(rng: np.random.Generator, rows: int = 200) -> Array:
    """Ordered quantiles of different places and widths."""
    quantiles: Array = rng.normal(0, 0.3, (rows, 1)) + rng.uniform(0.5, 2, (rows, 1)) * NORMAL
    return quantiles


def test_no_calibration_changes_nothing(rng: np.random.Generator) -> None:
    quantiles = forecasts(rng)

    np.testing.assert_allclose(UNCALIBRATED.apply(quantiles), quantiles)


def test_the_median_moves_towards_the_last_close(rng: np.random.Generator) -> None:
    quantiles = forecasts(rng)

    calibrated = Calibration(median_weight=0.25, spread=1.0).apply(quantiles)

    np.testing.assert_allclose(calibrated[:, 3], 0.25 * quantiles[:, 3])


def test_the_distances_from_the_median_are_stretched() -> None:
    calibrated = Calibration(median_weight=1.0, spread=1.5).apply(1 + NORMAL[None])

    np.testing.assert_allclose(calibrated[0], 1 + 1.5 * NORMAL)


@pytest.mark.parametrize("median_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("spread", SPREAD_BOUNDS)
def test_the_quantiles_stay_in_order(rng: np.random.Generator, median_weight: float, spread: float) -> None:
    far_from_zero = 5 + forecasts(rng)

    calibrated = Calibration(median_weight=median_weight, spread=spread).apply(far_from_zero)

    assert (np.diff(calibrated, axis=1) >= 0).all()


def test_applying_it_leaves_its_input_alone(rng: np.random.Generator) -> None:
    quantiles = forecasts(rng)
    before = quantiles.copy()

    Calibration(median_weight=0.0, spread=2.0).apply(quantiles)

    np.testing.assert_array_equal(quantiles, before)


def test_the_median_weight_gives_the_least_absolute_error(rng: np.random.Generator) -> None:
    median, volatility = rng.standard_normal(301), rng.uniform(0.01, 0.03, 301)
    target = 0.4 * median + rng.standard_normal(301)

    weight = fit_median_weight(target, median, volatility)

    grid = np.linspace(0, 1, 1_001)
    errors = [(volatility * np.abs(target - candidate * median)).sum() for candidate in grid]
    assert weight == pytest.approx(grid[np.argmin(errors)], abs=0.002)


def test_a_median_of_the_wrong_sign_gets_no_weight(rng: np.random.Generator) -> None:
    median = rng.standard_normal(300)

    assert fit_median_weight(-median, median, np.ones(300)) == 0.0


def test_a_median_that_is_too_timid_gets_no_more_than_its_own_weight(rng: np.random.Generator) -> None:
    median = rng.standard_normal(300)

    assert fit_median_weight(3 * median, median, np.ones(300)) == 1.0


def test_a_median_at_the_last_close_gets_no_weight() -> None:
    assert fit_median_weight(np.ones(3), np.zeros(3), np.ones(3)) == 0.0


def test_the_spread_brings_new_outcomes_to_the_promised_coverage(rng: np.random.Generator) -> None:
    learnt = rng.standard_t(4, 4_000)
    low, high = np.full(4_000, 0.7), np.full(4_000, 0.9)

    spread = fit_spread(learnt, low, high, level=0.8)

    new = rng.standard_t(4, 4_000)
    assert ((new >= -spread * 0.7) & (new <= spread * 0.9)).mean() == pytest.approx(0.8, abs=0.02)


def test_the_spread_stays_within_bounds_on_odd_rows() -> None:
    ones = np.ones(100)

    assert fit_spread(np.zeros(100), ones, ones, level=0.8) == SPREAD_BOUNDS[0]
    assert fit_spread(np.full(100, 50.0), ones, 0 * ones, level=0.8) == SPREAD_BOUNDS[1]


def test_a_network_that_is_right_is_left_nearly_alone(rng: np.random.Generator) -> None:
    quantiles = forecasts(rng, 4_000)
    width = (quantiles[:, -1] - quantiles[:, 0]) / (NORMAL[-1] - NORMAL[0])
    target = quantiles[:, 3] + width * rng.standard_normal(4_000)

    calibration = fit_calibration(target, quantiles, np.ones(4_000), CONFIG)

    assert calibration.median_weight > 0.8
    assert calibration.spread == pytest.approx(1, abs=0.06)


def test_a_rise_is_as_likely_as_a_fall_around_zero() -> None:
    assert probability_up(NORMAL, LEVELS) == pytest.approx(0.5)


def test_quantiles_further_up_make_a_rise_more_likely() -> None:
    assert probability_up(NORMAL + 0.337, LEVELS) == pytest.approx(0.625)


@pytest.mark.parametrize(("shift", "expected"), [(9.0, 0.95), (-9.0, 0.05)])
def test_the_probability_never_leaves_the_outermost_levels(shift: float, expected: float) -> None:
    assert probability_up(NORMAL + shift, LEVELS) == pytest.approx(expected)


def test_quantiles_that_all_lie_at_zero_say_nothing_of_the_direction() -> None:
    assert probability_up(np.zeros(7), LEVELS) == pytest.approx(0.5)
