"""Metrics of out-of-sample forecasts, compared with the naive forecast: the next close equals the last one.

Functions take arrays of equal length, one entry per forecast, and return one finite number. They return None for metrics that
are undefined for the naive forecast, such as directional accuracy.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, r2_score, root_mean_squared_error

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.quantiles import REFERENCE_SESSIONS, pinball_loss, quantile_column
from forecasting.pipeline.model.features import Array


def measure(backtest: pd.DataFrame, closes: pd.Series, config: ForecastConfig) -> dict[str, Any]:
    """All metrics of a backtest (columns: see artifacts.py). `closes` also cover the time before it, for the reference.

    Prices are in the symbol's currency. The naive forecast must have at least one error.
    """
    columns = [quantile_column(level) for level in config.quantile_levels]
    actual, last = backtest["actual_close"].to_numpy(), backtest["last_close"].to_numpy()
    quantiles = backtest[columns].to_numpy()
    low, median, high = (backtest[quantile_column(level)].to_numpy() for level in _low_median_high(config))
    levels = np.array(config.quantile_levels)
    reference = rolling_quantiles(np.log(closes).diff(), levels).loc[backtest["as_of"]].to_numpy()
    returns = np.log(actual / last)
    return {
        **price_errors(actual, median),
        "naive": price_errors(actual, last),
        "mase": relative_mae(actual, median, last),
        "beats_naive_p": beats_naive_p(actual, median, last),
        "pinball_ratio": pinball_loss(returns, np.log(quantiles / last[:, None]), levels)
        / pinball_loss(returns, reference, levels),
        f"coverage_{round(config.interval_level * 100)}": coverage(actual, low, high),
        "directional_accuracy": directional_accuracy(actual, median, last),
        "usual_width": float(np.median(((high - low) / last)[-REFERENCE_SESSIONS:])),
    }


def _low_median_high(config: ForecastConfig) -> tuple[float, float, float]:
    low, high = config.interval_levels
    return low, 0.5, high


def price_errors(actual: Array, forecast: Array) -> dict[str, float]:
    """MAE and RMSE in units of price, MAPE in percent, R² of the price level (near 1 for any forecast near the last close)."""
    return {
        "MAE": float(mean_absolute_error(actual, forecast)),
        "RMSE": float(root_mean_squared_error(actual, forecast)),
        "MAPE": 100 * float(mean_absolute_percentage_error(actual, forecast)),
        "R²": float(r2_score(actual, forecast)),
    }


def relative_mae(actual: Array, forecast: Array, naive: Array) -> float:
    """Mean absolute error, divided by the naive forecast's on the same rows; below 1 is better than naive.

    Stored metrics and the API call it `mase`. The MASE of Hyndman & Koehler, Another look at measures of forecast accuracy (2006),
    divides by the in-sample naive error instead.
    """
    return float(np.abs(actual - forecast).mean() / np.abs(actual - naive).mean())


def beats_naive_p(actual: Array, forecast: Array, naive: Array) -> float | None:
    """p-value of the hypothesis "the absolute error is not smaller than the naive one"; None if the forecasts never differ.

    Diebold & Mariano, Comparing Predictive Accuracy (1995), for one step ahead. Small-sample correction and Student's t:
    Harvey, Leybourne & Newbold, Testing the equality of prediction mean squared errors (1997).
    """
    if (forecast == naive).all():
        return None
    return improvement_p(np.abs(actual - naive) - np.abs(actual - forecast))


def improvement_p(gain: Array) -> float:
    """One-sided p-value of the hypothesis "the mean gain is not positive"; gains (n,) of successive one-step forecasts.

    The variance assumes independent gains, because the errors of one-step forecasts do not overlap. Source: see `beats_naive_p`.
    """
    if np.ptp(gain) == 0:  # all gains are equal: t is undefined
        return float(0.5 - 0.5 * np.sign(gain.mean()))
    return float(ttest_1samp(gain, 0.0, alternative="greater").pvalue)


def rolling_quantiles(returns: pd.Series, levels: Array) -> pd.DataFrame:
    """Reference forecasts of the next return, by date: empirical quantiles of the last 250 returns, with 0 as median."""
    window = returns.rolling(REFERENCE_SESSIONS, min_periods=1)
    return pd.DataFrame({level: 0.0 if level == 0.5 else window.quantile(level) for level in levels}, index=returns.index)


def coverage(actual: Array, low: Array, high: Array) -> float:
    """Share of the actual values inside [low, high]."""
    return float(((low <= actual) & (actual <= high)).mean())


def directional_accuracy(actual: Array, forecast: Array, last: Array) -> float | None:
    """Share of moves with a correctly forecast direction. A forecast of no move counts half; sessions without a move do not count.

    None if no session moved, or if every forecast equals the last close.
    """
    moved = actual != last
    if not moved.any() or (forecast == last).all():
        return None
    agreement = np.sign(forecast - last)[moved] * np.sign(actual - last)[moved]
    return float((1 + agreement.mean()) / 2)
