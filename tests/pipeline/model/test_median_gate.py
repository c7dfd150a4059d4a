"""The median's test on simulated panels: random walks rarely pass, a modest signal usually does."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.conformal import (
    BETTER,
    NONE_CHOSEN,
    TOO_FEW_DAYS,
    VETOED,
    ValidationRows,
    at_last_close,
    fit_calibration,
    fit_median_weight,
)
from forecasting.pipeline.model.features import Array

CONFIG = ForecastConfig()
NORMAL = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])  # quantiles of the standard normal
SYMBOLS, DAYS = 30, 500
FITTED_DAYS = 750  # of the same walks, before the validation days
PANELS = 200
EXCHANGES = np.array(["XNYS", "BVMF", "XTKS"])
HOME = np.arange(SYMBOLS) % len(EXCHANGES)  # of each symbol


def heavy_tailed(rng: np.random.Generator, *shape: int) -> Array:
    """Student's t with four degrees of freedom, of variance 1."""
    values: Array = rng.standard_t(4, shape) / np.sqrt(2)
    return values


def walks(rng: np.random.Generator, days: int = FITTED_DAYS + DAYS) -> Array:
    """Returns (days, symbols) of random walks.

    Symbols of one exchange share 40 % of their variance, those of all exchanges 20 %. The last exchange follows the common
    part with a delay of one day, as Asia follows America.
    """
    world, late, own = heavy_tailed(rng, days + 1), heavy_tailed(rng, days), heavy_tailed(rng, days, len(EXCHANGES))
    news = np.column_stack([world[1:], world[1:], np.sqrt(0.6) * late + np.sqrt(0.4) * world[:-1]])
    market = (np.sqrt(0.5) * news + np.sqrt(0.5) * own)[:, HOME]
    returns: Array = np.sqrt(0.4) * market + np.sqrt(0.6) * heavy_tailed(rng, days, SYMBOLS)
    return returns


def noise(rng: np.random.Generator, returns: Array) -> Array:
    """Medians without information, equal within an exchange."""
    shared = rng.standard_normal((len(returns), len(EXCHANGES)))[:, HOME]
    return 0.1 * (shared + rng.standard_normal(returns.shape))


def past_drift(rng: np.random.Generator, returns: Array) -> Array:
    """Each symbol's median return on earlier days, shrunk by half towards the median of all symbols, as a network learns first."""
    known = returns[:FITTED_DAYS]
    return np.broadcast_to((np.median(known, axis=0) + np.median(known)) / 2, returns.shape)


def past_momentum(rng: np.random.Generator, returns: Array) -> Array:
    """Forecasts by a regression of each return on the previous one, fitted on earlier days."""
    before, after = returns[: FITTED_DAYS - 1].ravel(), returns[1:FITTED_DAYS].ravel()
    slope, level = np.polyfit(before, after, 1)
    medians: Array = slope * np.vstack([np.zeros(SYMBOLS), returns[:-1]]) + level
    return medians


def panel(returns: Array, medians: Array, rng: np.random.Generator) -> ValidationRows:
    """The last days of both as validation rows, with volatilities that differ by symbol and day."""
    days = min(DAYS, len(returns))
    target, median = returns[-days:].ravel(), medians[-days:].ravel()
    volatility = rng.uniform(0.008, 0.03, SYMBOLS) * np.exp(0.3 * rng.standard_normal((days, 1)))
    return ValidationRows(
        dates=np.repeat(np.datetime64("2023-01-02") + np.arange(days), SYMBOLS),
        exchange=np.tile(EXCHANGES[HOME], days),
        target=target,
        quantiles=median[:, None] + NORMAL,
        volatility=volatility.ravel(),
    )


def random_walk_panel(seed: int, median_of: Callable[[np.random.Generator, Array], Array]) -> ValidationRows:
    rng = np.random.default_rng([41, seed])
    returns = walks(rng)
    return panel(returns, median_of(rng, returns), rng)


def foreseen_panel(seed: int, correlation: float | Array, *, days: int = DAYS) -> ValidationRows:
    """Returns and medians with this `correlation` (one value, or one per symbol)."""
    rng = np.random.default_rng([43, seed])
    signal = np.sqrt(0.3) * heavy_tailed(rng, days, 3)[:, HOME] + np.sqrt(0.7) * heavy_tailed(rng, days, SYMBOLS)
    size = np.abs(correlation)
    return panel(correlation * signal + np.sqrt(1 - size**2) * walks(rng, days), size * signal, rng)


@pytest.mark.parametrize("median_of", [noise, past_drift, past_momentum])
def test_of_random_walks_at_most_one_in_twenty_gets_a_weight(median_of: Callable[[np.random.Generator, Array], Array]) -> None:
    weights = [fit_median_weight(random_walk_panel(seed, median_of), CONFIG)[0] for seed in range(PANELS)]

    assert np.count_nonzero(weights) <= 0.05 * PANELS


def test_a_modest_signal_mostly_gets_a_weight() -> None:
    weights = [fit_median_weight(foreseen_panel(seed, 0.1), CONFIG)[0] for seed in range(100)]

    assert np.count_nonzero(weights) >= 80


def test_a_weight_that_passes_has_p_values_over_all_symbols_and_by_exchange() -> None:
    weight, test = fit_median_weight(foreseen_panel(1, 0.3), CONFIG)

    assert (test.reason, test.tried) == (BETTER, weight)
    assert weight > 0
    assert {*test.p_by_exchange} == {*EXCHANGES}
    assert all(p is not None and p < 0.05 for p in (test.p, *test.p_by_exchange.values()))


def test_a_gain_that_ends_before_the_later_days_chooses_a_weight_that_does_not_pass() -> None:
    rows = foreseen_panel(2, 0.5)
    later = np.arange(len(rows.target)) >= SYMBOLS * DAYS // 2
    target = np.where(later, np.random.default_rng(5).permutation(rows.target), rows.target)

    weight, test = fit_median_weight(replace(rows, target=target), CONFIG)

    assert (weight, test.tried) == (0.0, fit_median_weight(rows, CONFIG)[1].tried)
    assert test.tried


def test_a_median_that_is_worse_on_one_exchange_gets_no_weight_on_any() -> None:
    harmful = np.where(EXCHANGES[HOME] == "XTKS", -0.3, 0.4)

    weight, test = fit_median_weight(foreseen_panel(4, harmful), CONFIG)

    assert weight == 0.0
    assert test.p is not None
    assert test.p < 0.05
    assert test.reason.endswith("later validation days at XTKS")
    assert [name for name, p in test.p_by_exchange.items() if p > 0.95] == ["XTKS"]


def test_a_median_of_the_wrong_sign_is_not_tested() -> None:
    weight, test = fit_median_weight(foreseen_panel(5, 0.3 * -np.ones(SYMBOLS)), CONFIG)

    assert (weight, test.tried, test.p, test.reason) == (0.0, 0.0, None, NONE_CHOSEN)


def test_too_few_later_days_prevent_the_test() -> None:
    weight, test = fit_median_weight(foreseen_panel(6, 0.9, days=40), CONFIG)

    assert (weight, test.p, test.reason) == (0.0, None, TOO_FEW_DAYS)


def test_a_single_symbol_is_not_tested_by_exchange() -> None:
    rows = foreseen_panel(8, 0.3)

    _, test = fit_median_weight(replace(rows, exchange=np.full(len(rows.target), "")), CONFIG)

    assert (test.reason, test.p_by_exchange) == (BETTER, {})


def test_a_veto_sets_the_weight_to_zero_and_keeps_the_test() -> None:
    rows = foreseen_panel(7, 0.6)
    calibration = fit_calibration(rows, CONFIG)

    vetoed = at_last_close(calibration, rows, CONFIG)

    assert calibration.median_weight > 0 == vetoed.median_weight
    assert (vetoed.median_test.reason, vetoed.median_test.p) == (VETOED, calibration.median_test.p)
    assert vetoed.spread > calibration.spread  # the spread now includes the variance that the median explained
    quantiles = vetoed.apply(rows.quantiles)
    assert (quantiles[:, 3] == 0).all()
    inside = (quantiles[:, 1] <= rows.target) & (rows.target <= quantiles[:, 5])
    assert inside.mean() == pytest.approx(0.8, abs=0.001)
