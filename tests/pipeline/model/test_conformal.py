"""Calibration on validation rows: the weight of the median, and the interval width for nominal coverage."""

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.calibration import Calibration
from forecasting.pipeline.model.conformal import (
    OWN_ROWS,
    SPREAD_BOUNDS,
    ValidationRows,
    fit_calibration,
    fit_median_weight,
    fit_spread,
)
from forecasting.pipeline.model.features import Array

CONFIG = ForecastConfig()
NORMAL = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])  # quantiles of the standard normal


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def rows_of(
    target: Array, median: Array, volatility: Array | None = None, *, symbols: int = 1, quantiles: Array | None = None
) -> ValidationRows:
    """Forecasts around `median`; `symbols` symbols share their market days."""
    days = np.arange(len(target)) // symbols
    return ValidationRows(
        dates=np.datetime64("2024-01-01") + days,
        exchange=np.full(len(target), "XNYS"),
        target=target,
        quantiles=median[:, None] + NORMAL if quantiles is None else quantiles,
        volatility=np.ones(len(target)) if volatility is None else volatility,
    )


def weight_of(rows: ValidationRows) -> float:
    return fit_median_weight(rows, CONFIG)[0]


def test_the_median_weight_gives_the_least_absolute_error_on_the_earlier_days(rng: np.random.Generator) -> None:
    median, volatility = rng.standard_normal(903), rng.uniform(0.01, 0.03, 903)
    target = 0.4 * median + rng.standard_normal(903)

    weight = weight_of(rows_of(target, median, volatility))

    grid = np.linspace(0, 1, 1_001)
    target, median, volatility = target[:301], median[:301], volatility[:301]
    errors = [(volatility * np.abs(target - candidate * median)).sum() for candidate in grid]
    assert weight == pytest.approx(grid[np.argmin(errors)], abs=0.002)


def test_a_median_of_the_wrong_sign_gets_no_weight(rng: np.random.Generator) -> None:
    median = rng.standard_normal(300)

    assert weight_of(rows_of(-median, median)) == 0.0


def test_a_median_that_is_too_small_gets_at_most_weight_one(rng: np.random.Generator) -> None:
    median = rng.standard_normal(300)

    assert weight_of(rows_of(3 * median, median)) == 1.0


def test_a_median_at_the_last_close_gets_no_weight() -> None:
    assert weight_of(rows_of(np.ones(90), np.zeros(90))) == 0.0


def test_a_median_without_information_gets_weight_only_by_chance(rng: np.random.Generator) -> None:
    weights = [weight_of(rows_of(*rng.standard_normal((2, 300)))) for _ in range(400)]

    # Half of the chosen weights are 0, the others are tested at 5 %. The limit is three standard errors of 400 draws above that.
    assert np.count_nonzero(weights) / 400 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 400)


def test_many_symbols_that_share_a_market_day_are_no_more_evidence_than_one() -> None:
    median, noise = np.random.default_rng(15).standard_normal((2, 60))
    target = 0.3 * median + noise
    copies = rows_of(np.repeat(target, 100), np.repeat(median, 100), symbols=100)

    assert weight_of(rows_of(target, median)) == 0.0
    assert weight_of(copies) == 0.0
    assert weight_of(rows_of(np.repeat(target, 100), np.repeat(median, 100))) > 0.0


def test_the_spread_gives_new_outcomes_nominal_coverage(rng: np.random.Generator) -> None:
    learnt = rng.standard_t(4, 4_000)
    low, high = np.full(4_000, 0.7), np.full(4_000, 0.9)

    spread = fit_spread(learnt, low, high, level=0.8)

    new = rng.standard_t(4, 4_000)
    assert ((new >= -spread * 0.7) & (new <= spread * 0.9)).mean() == pytest.approx(0.8, abs=0.02)


def test_each_residual_is_measured_by_the_width_of_its_own_side() -> None:
    below, above = np.full(50, -3.0), np.full(50, 0.5)

    spread = fit_spread(np.concatenate([below, above]), np.full(100, 2.0), np.full(100, 0.4), level=0.8)

    assert spread == pytest.approx(1.5)  # 3.0 / 2.0: of the falls, which are the larger scores


def test_a_skewed_interval_is_stretched_by_its_own_edges(rng: np.random.Generator) -> None:
    quantiles = np.tile([-4.0, -3.0, -1.0, 0.0, 0.3, 0.5, 0.6], (4_000, 1))
    falls = rng.random(4_000) < 0.5
    target = 1.2 * np.where(falls, -3.0, 0.5) * rng.uniform(0, 1.25, 4_000)

    spread = fit_calibration(rows_of(target, np.zeros(4_000), quantiles=quantiles), CONFIG).spread

    assert spread == pytest.approx(1.2, abs=0.02)


def test_the_spread_covers_a_new_row_even_after_few_rows() -> None:
    ones = np.ones(9)

    spread = fit_spread(np.arange(1, 10) / 6, ones, ones, level=0.8)

    assert spread == pytest.approx(8 / 6)  # the 8th of 9 scores: a 10th falls below it in 8 of 10 cases


def test_the_spread_stays_within_bounds_on_odd_rows() -> None:
    ones = np.ones(100)

    assert fit_spread(np.zeros(100), ones, ones, level=0.8) == SPREAD_BOUNDS[0]
    assert fit_spread(np.full(100, 50.0), ones, 0 * ones, level=0.8) == SPREAD_BOUNDS[1]


def test_a_calibrated_network_hardly_changes(rng: np.random.Generator) -> None:
    quantiles: Array = rng.normal(0, 0.3, (4_000, 1)) + rng.uniform(0.5, 2, (4_000, 1)) * NORMAL
    width = (quantiles[:, -1] - quantiles[:, 0]) / (NORMAL[-1] - NORMAL[0])
    target = quantiles[:, 3] + width * rng.standard_normal(4_000)

    calibration = fit_calibration(rows_of(target, quantiles[:, 3], quantiles=quantiles), CONFIG)

    assert calibration.median_weight > 0.8
    assert calibration.spread == pytest.approx(1, abs=0.06)


POOLED = Calibration(median_weight=0.25, spread=1.2)


def test_a_symbol_keeps_the_pooled_weight(rng: np.random.Generator) -> None:
    median = rng.standard_normal(300)

    assert fit_calibration(rows_of(3 * median, median), CONFIG, pooled=POOLED).median_weight == POOLED.median_weight


@pytest.mark.parametrize("count", [50, OWN_ROWS, 2_000])
def test_a_symbols_own_spread_counts_by_the_number_of_its_rows(rng: np.random.Generator, count: int) -> None:
    own_rows = rows_of(1.7 * rng.standard_normal(count), np.zeros(count))
    own = fit_calibration(own_rows, CONFIG, pooled=Calibration(median_weight=0.25, spread=1.0)).spread
    whole = fit_calibration(own_rows, CONFIG).spread

    assert own == pytest.approx(whole ** (count / (count + OWN_ROWS)))
    shrunk = fit_calibration(own_rows, CONFIG, pooled=POOLED).spread
    assert min(POOLED.spread, whole) < shrunk < max(POOLED.spread, whole)
