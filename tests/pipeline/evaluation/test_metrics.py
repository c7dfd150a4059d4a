"""Each metric compared with numbers calculated by hand or by another library."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation import metrics
from forecasting.pipeline.evaluation.quantiles import pinball_loss, quantile_column
from tests.pipeline.market_data import simulated_bars

ACTUAL = np.array([10.0, 12.0, 11.0, 12.0])
FORECAST = np.array([10.0, 11.0, 11.0, 14.0])
LAST = np.array([11.0, 10.0, 12.0, 11.0])


def test_the_price_errors_have_their_usual_meaning() -> None:
    errors = metrics.price_errors(ACTUAL, FORECAST)

    assert errors == pytest.approx({"MAE": 0.75, "RMSE": math.sqrt(1.25), "MAPE": 100 * (1 / 12 + 2 / 12) / 4, "R²": 1 - 5 / 2.75})


def test_the_error_is_scaled_by_the_naive_one_on_the_same_rows() -> None:
    assert metrics.relative_mae(ACTUAL, FORECAST, LAST) == pytest.approx(0.75 / 1.25)


def test_the_paired_test_is_students_t_test_on_the_gains() -> None:
    rng = np.random.default_rng(2)
    actual, naive = rng.standard_normal((2, 80))
    forecast = actual + 0.8 * rng.standard_normal(80)

    gains = np.abs(actual - naive) - np.abs(actual - forecast)
    expected = ttest_1samp(gains, 0, alternative="greater").pvalue

    assert metrics.beats_naive_p(actual, forecast, naive) == pytest.approx(expected)


def test_a_forecast_that_is_the_naive_one_is_not_tested_against_it() -> None:
    assert metrics.beats_naive_p(ACTUAL, LAST, LAST) is None


@pytest.mark.parametrize(("naive_error", "expected"), [(2.0, 0.0), (0.5, 1.0)])
def test_a_constant_gain_is_certain(naive_error: float, expected: float) -> None:
    actual = np.zeros(5)

    assert metrics.beats_naive_p(actual, actual + 1.0, actual + naive_error) == expected


@pytest.mark.parametrize(("gain", "expected"), [(0.1, 0.0), (0.0, 0.5), (-0.1, 1.0)])
def test_equal_gains_that_binary_numbers_cannot_hold_have_a_p_value(gain: float, expected: float) -> None:
    assert metrics.improvement_p(np.full(7, gain)) == expected


def test_the_pinball_loss_weighs_both_sides_of_a_quantile_by_its_level() -> None:
    actual, quantiles = np.array([1.0, -1.0]), np.zeros((2, 2))

    assert pinball_loss(actual, quantiles, np.array([0.1, 0.9])) == pytest.approx((0.1 + 0.9 + 0.9 + 0.1) / 4)


def test_the_reference_uses_the_last_250_returns_up_to_its_date() -> None:
    returns = pd.Series(np.random.default_rng(4).standard_normal(300))

    reference = metrics.rolling_quantiles(returns, np.array([0.1, 0.5, 0.9]))

    last_250 = returns.iloc[31:281]
    assert [*reference.iloc[280]] == pytest.approx([last_250.quantile(0.1), 0.0, last_250.quantile(0.9)])


def test_coverage_counts_the_edges() -> None:
    low, high = np.full(4, 11.0), np.full(4, 12.0)

    assert metrics.coverage(ACTUAL, low, high) == 0.75


def test_directional_accuracy_counts_correctly_forecast_moves() -> None:
    assert metrics.directional_accuracy(ACTUAL, FORECAST, LAST) == 1.0
    assert metrics.directional_accuracy(ACTUAL, 2 * LAST - FORECAST, LAST) == 0.0


def test_a_forecast_of_no_move_counts_half_and_is_undefined_alone() -> None:
    forecast = np.where(np.arange(4) < 2, FORECAST, LAST)

    assert metrics.directional_accuracy(ACTUAL, forecast, LAST) == 0.75
    assert metrics.directional_accuracy(ACTUAL, LAST, LAST) is None


def test_sessions_without_a_move_do_not_count() -> None:
    actual, forecast, last = np.array([1.0, 2.0]), np.array([5.0, 3.0]), np.array([1.0, 1.0])

    assert metrics.directional_accuracy(actual, forecast, last) == 1.0
    assert metrics.directional_accuracy(last, forecast, last) is None


def reference_backtest(config: ForecastConfig, rows: int = 50) -> tuple[pd.DataFrame, pd.Series]:
    """A backtest whose forecasts equal the reference, and its closes."""
    closes = simulated_bars(400)["close"]
    levels = np.array(config.quantile_levels)
    reference = metrics.rolling_quantiles(np.log(closes).diff(), levels).iloc[-rows - 1 : -1]
    last = closes[-rows - 1 : -1]
    quantiles = {quantile_column(level): last * np.exp(reference[level]) for level in config.quantile_levels}
    frame = pd.DataFrame({"as_of": last.index, "last_close": last, **quantiles}).reset_index(drop=True)
    return frame.assign(actual_close=closes[-rows:].to_numpy()), closes


def test_the_reference_measured_against_itself_is_one_everywhere() -> None:
    config = ForecastConfig()

    measured = metrics.measure(*reference_backtest(config), config)

    assert measured["mase"] == 1
    assert measured["pinball_ratio"] == pytest.approx(1)
    assert measured["beats_naive_p"] is measured["directional_accuracy"] is None


def test_the_metrics_are_finite_plain_numbers() -> None:
    config = ForecastConfig()

    measured = metrics.measure(*reference_backtest(config), config)

    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    assert {*measured} == {
        *("MAE", "RMSE", "MAPE", "R²", "naive"),
        *("mase", "beats_naive_p", "pinball_ratio", "coverage_80", "directional_accuracy", "usual_width"),
    }
