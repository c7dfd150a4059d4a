"""Calibration on validation rows: the weight of the median, and the interval width for nominal coverage."""

from dataclasses import replace

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.calibration import Calibration, distances
from forecasting.pipeline.model.conformal import (
    TOO_FEW_DAYS,
    ValidationRows,
    at_last_close,
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

    assert fit_spread(np.zeros(100), ones, ones, level=0.8) == 0.5
    assert fit_spread(np.full(100, 50.0), ones, 0 * ones, level=0.8) == 2.0


@pytest.mark.parametrize(("own", "expected"), [(0.51, 0.51), (0.49, 0.5), (1.99, 1.99), (2.01, 2.0)])
def test_a_spread_is_bounded_by_half_and_twice_the_width(own: float, expected: float) -> None:
    ones = np.ones(100)

    assert fit_spread(own * ones, ones, ones, level=0.8) == pytest.approx(expected)


def test_an_interval_without_width_counts_as_a_millionth() -> None:
    nothing = np.zeros(9)

    assert fit_spread(np.full(9, -1.5e-6), nothing, nothing, level=0.8) == pytest.approx(1.5)


def test_a_residual_of_zero_is_inside() -> None:
    ones = np.ones(9)

    assert fit_spread(np.zeros(9), 0 * ones, 0 * ones, level=0.8) == 0.5


@pytest.mark.parametrize(("days", "tested"), [(44, False), (45, True)])
def test_a_median_is_tested_on_at_least_30_later_days(days: int, tested: bool) -> None:
    median = np.where(np.arange(days) % 2, 1.0, -1.0)
    target = median * (0.5 + 0.01 * (np.arange(days) % 7))

    _, test = fit_median_weight(rows_of(target, median), CONFIG)

    assert (test.reason != TOO_FEW_DAYS) == tested == (test.p is not None)


def test_a_day_counts_once_however_many_symbols_have_it() -> None:
    """One symbol gains on all days; 20 others lose as much on a tenth of the days, all of them later ones."""
    median = np.where(np.arange(90) % 2, 1.0, -1.0)
    target = median * (0.5 + 0.01 * (np.arange(90) % 7))
    crowded = np.repeat(np.arange(60, 66), 20)
    rows = rows_of(np.concatenate([target, -target[crowded]]), np.concatenate([median, median[crowded]]))
    days = np.datetime64("2024-01-01") + np.concatenate([np.arange(90), crowded])

    weight, test = fit_median_weight(replace(rows, dates=days), CONFIG)

    assert test.p is not None
    assert (test.p < 0.05, weight > 0) == (True, True)


def test_days_of_the_choice_are_not_days_of_the_test() -> None:
    """The first third of the days has the signal, the rest its opposite."""
    median = np.where(np.arange(99) % 2, 1.0, -1.0)
    target = median * np.where(np.arange(99) < 33, 0.5, -0.5) * (1 + 0.01 * (np.arange(99) % 7))
    volatility = np.linspace(0.02, 0.03, 99)

    weight, test = fit_median_weight(rows_of(target, median, volatility), CONFIG)

    assert weight == 0.0
    assert test.tried == pytest.approx(0.5, abs=0.05)
    assert test.p is not None
    assert test.p > 0.99


def test_a_weight_beside_several_equal_errors_is_the_middle_one() -> None:
    ratios = np.repeat([0.2, 0.4, 0.6], 30)  # of target and median on the earlier days
    target = np.concatenate([ratios, np.full(180, 0.4)])

    _, test = fit_median_weight(rows_of(target, np.ones(270)), CONFIG)

    assert test.tried == pytest.approx(0.4)


def test_large_and_volatile_rows_count_more_for_the_weight() -> None:
    """Two of three rows agree on 0.2, but the third has three times their size, or three times their volatility."""
    third = np.arange(270) % 3 == 0
    ratio, heavy = np.where(third, 0.7, 0.2), np.where(third, 3.0, 1.0)

    by_size = fit_median_weight(rows_of(ratio * heavy, heavy), CONFIG)[1].tried
    by_volatility = fit_median_weight(rows_of(ratio, np.ones(270), heavy), CONFIG)[1].tried

    assert [by_size, by_volatility] == pytest.approx([0.7, 0.7])


def test_rows_without_an_opinion_do_not_affect_the_weight() -> None:
    median = np.where(np.arange(180) % 2, 1.0, 0.0)
    target = np.where(np.arange(180) % 2, 0.4, 9.0)

    assert fit_median_weight(rows_of(target, median), CONFIG)[1].tried == pytest.approx(0.4)


def test_at_the_last_close_the_spread_changes_as_that_of_the_validation_rows(rng: np.random.Generator) -> None:
    median = rng.standard_normal(400)
    rows = rows_of(median + 0.8 * rng.standard_normal(400), median)

    def spread_at(weight: float) -> float:
        middle = weight * median
        low, high = (np.abs(distances(rows.quantiles, middle[:, None])[:, column]) for column in (1, 5))
        return fit_spread(rows.target - middle, low, high, level=0.8)

    vetoed = at_last_close(Calibration(median_weight=1.0, spread=1.3), rows, CONFIG)

    assert vetoed.spread == pytest.approx(1.3 * spread_at(0.0) / spread_at(1.0))


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


@pytest.mark.parametrize("count", [50, 250, 2_000])
def test_a_symbols_own_size_counts_by_the_number_of_its_rows(rng: np.random.Generator, count: int) -> None:
    target, median = rng.standard_t(4, count), np.zeros(count)
    pooled = fit_calibration(rows_of(target, median), CONFIG)

    own = fit_calibration(rows_of(1.3 * target, median), CONFIG, pooled=pooled)

    assert own.spread == pytest.approx(pooled.spread * 1.3 ** (count / (count + 250)))
    assert replace(own, spread=pooled.spread) == pooled


def test_a_symbol_of_the_usual_size_has_the_pooled_spread(rng: np.random.Generator) -> None:
    median = 0.3 * rng.standard_normal(600)
    rows = rows_of(median + rng.standard_normal(600), median)
    pooled = fit_calibration(rows, CONFIG)

    assert fit_calibration(rows, CONFIG, pooled=pooled).spread == pytest.approx(pooled.spread)


def test_the_size_is_the_mean_error_over_the_mean_half_width(rng: np.random.Generator) -> None:
    width = rng.uniform(0.5, 2, (400, 1))
    target = rng.standard_normal(400)

    calibration = fit_calibration(rows_of(target, np.zeros(400), quantiles=width * NORMAL), CONFIG)

    assert calibration.size == pytest.approx(np.abs(target).mean() / (calibration.spread * 1.282 * width.mean()))


@pytest.mark.parametrize(("target", "factor"), [(0.0, 0.5), (50.0, 2.0)])
def test_a_symbols_own_size_is_bounded_on_odd_rows(target: float, factor: float) -> None:
    rows = rows_of(np.full(250, target), np.zeros(250))

    assert fit_calibration(rows, CONFIG, pooled=POOLED).spread == pytest.approx(POOLED.spread * factor**0.5)


def test_a_symbol_without_forecast_widths_has_the_largest_size() -> None:
    rows = rows_of(np.ones(250), np.zeros(250), quantiles=np.zeros((250, 7)))

    assert fit_calibration(rows, CONFIG, pooled=POOLED).spread == pytest.approx(POOLED.spread * 2**0.5)


def test_the_tail_of_many_rows_is_their_own(rng: np.random.Generator) -> None:
    """Quantiles of a normal distribution, and outcomes of Student's t with as wide an 80 % interval."""
    target = rng.standard_t(4, 200_000) * 1.2816 / 1.5332

    calibration = fit_calibration(rows_of(target, np.zeros(len(target))), CONFIG)

    assert calibration.tail == pytest.approx(3.7469 * 1.2816 / 1.5332 / 1.6449, rel=0.03)


def test_the_tail_of_few_rows_is_the_usual_one(rng: np.random.Generator) -> None:
    calibration = fit_calibration(rows_of(rng.standard_normal(60), np.zeros(60)), CONFIG)

    assert calibration.tail == pytest.approx(1.6, abs=0.03)


def test_the_tail_of_a_symbol_is_that_of_all_symbols(rng: np.random.Generator) -> None:
    pooled = Calibration(median_weight=0.0, spread=1.0, tail=1.7)

    assert fit_calibration(rows_of(rng.standard_normal(300), np.zeros(300)), CONFIG, pooled=pooled).tail == 1.7
