"""The volatility regression: expected size of the next move."""

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.features import Array
from forecasting.pipeline.model.volatility import VolatilityRegression, fit_volatility

LEVELS = ForecastConfig().quantile_levels
COEFFICIENTS, INTERCEPT = np.array([0.3, -0.1, 0.0]), 0.9


def simulated(count: int = 20_000, seed: int = 1) -> tuple[Array, Array]:
    """Regressors and returns whose mean absolute value is linear in the regressors."""
    rng = np.random.default_rng(seed)
    regressors = rng.uniform(-1.5, 1.5, (count, 3))
    size = INTERCEPT + regressors @ COEFFICIENTS
    return regressors, size * rng.standard_normal(count) / np.sqrt(2 / np.pi)


def test_it_finds_the_coefficients_that_made_the_returns() -> None:
    fit = fit_volatility(*simulated(), LEVELS)

    np.testing.assert_allclose(fit.coefficients, COEFFICIENTS, atol=0.02)
    assert fit.intercept == pytest.approx(INTERCEPT, abs=0.02)


def test_rows_weigh_less_the_larger_their_moves_are() -> None:
    regressors = np.repeat([[-1.0], [0.0], [1.0]], [200, 200, 200], axis=0)
    size = np.repeat([0.5, 1.5, 1.5], 200)  # not linear: a line must choose where it errs

    fit = fit_volatility(regressors, size * np.tile([-1.0, 1.0], 300), LEVELS)

    settled = np.ones(600)
    for _ in range(50):
        line = np.polyfit(regressors[:, 0], size, 1, w=1 / settled)
        settled = np.polyval(line, regressors[:, 0])
    assert [fit.coefficients[0], fit.intercept] == pytest.approx(line, rel=0.02)


def test_its_quantiles_hold_their_share_of_new_returns() -> None:
    fit = fit_volatility(*simulated(), LEVELS)
    regressors, target = simulated(seed=2)

    for level, multiple in zip(LEVELS, fit.levels, strict=True):
        below = (target < multiple * fit.size(regressors)).mean()
        assert below == pytest.approx(level, abs=3 * np.sqrt(2 * level * (1 - level) / len(target)))


def test_its_levels_ascend_around_zero() -> None:
    regressors, target = simulated()

    fit = fit_volatility(regressors, target + 0.3, LEVELS)

    assert fit.levels[3] == 0.0
    assert (np.diff(fit.levels) >= 0).all()


def test_a_size_is_never_below_the_smallest() -> None:
    fit = fit_volatility(*simulated(), LEVELS)

    assert fit.size(np.array([[-100.0, 0.0, 0.0]])).tolist() == [0.2]


def test_an_extreme_return_is_clipped() -> None:
    regressors, target = simulated(500)
    target[7] = 8.0
    expected = fit_volatility(regressors, target, LEVELS)
    target[7] = 1e6

    fit = fit_volatility(regressors, target, LEVELS)

    np.testing.assert_array_equal(fit.coefficients, expected.coefficients)
    np.testing.assert_array_equal(fit.levels, expected.levels)
    target[7] = 7.9
    assert (fit_volatility(regressors, target, LEVELS).coefficients != expected.coefficients).any()


def test_it_reweights_twice() -> None:
    regressors = np.linspace(-1, 1, 300)[:, None]
    target = (1 + 0.9 * regressors[:, 0]) ** 2 * np.tile([-1.0, 1.0], 150)
    size = np.ones(300)
    for _ in range(3):
        line = np.polyfit(regressors[:, 0], np.abs(target), 1, w=1 / size)
        size = np.maximum(np.polyval(line, regressors[:, 0]), 0.2)

    fit = fit_volatility(regressors, target, LEVELS)

    assert [fit.coefficients[0], fit.intercept] == pytest.approx(line)
    np.testing.assert_allclose(fit.levels[:3], np.quantile(target / size, LEVELS[:3]))


def test_a_size_is_linear_in_its_regressors() -> None:
    regression = VolatilityRegression(coefficients=np.array([0.5, -0.25]), intercept=1.0, levels=np.zeros(7))

    assert regression.size(np.array([[1.0, 2.0], [-1.0, 0.0]])) == pytest.approx([1.0, 0.5])


def test_constant_regressors_and_zero_returns_give_finite_numbers() -> None:
    fit = fit_volatility(np.zeros((50, 3)), np.zeros(50), LEVELS)

    assert np.isfinite([*fit.coefficients, fit.intercept, *fit.levels]).all()
