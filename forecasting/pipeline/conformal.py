"""What validation rows, on which the network was not fitted, teach about its quantiles: a Calibration."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.calibration import Calibration, distances, shrunk_median
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation import improvement_p
from forecasting.pipeline.features import Array

SPREAD_BOUNDS = (0.5, 2.0)  # a factor outside of them says that the validation rows are odd, not that the network is
OWN_ROWS = 250  # validation rows of one symbol that weigh as much as what all symbols together have taught
SIGNIFICANCE = 0.05  # at which a median must beat the last close before it is trusted at all
SMALLEST_DISTANCE = 1e-6  # standardised returns; an interval of no width has no conformity score


@dataclass(frozen=True, slots=True, eq=False)
class ValidationRows:
    """Forecasts of validation rows, of one symbol or of several, and what happened."""

    dates: npt.NDArray[np.datetime64]  # (rows,) as_of
    target: Array  # (rows,) standardised returns
    quantiles: Array  # (rows, levels) ordered, of the target
    volatility: Array  # (rows,)


def fit_calibration(rows: ValidationRows, config: ForecastConfig, *, pooled: Calibration | None = None) -> Calibration:
    """Learns from validation rows. `pooled`: what all symbols together have taught, where these rows are one symbol's.

    Then the median's weight is the pooled one, and the spread lies between the pooled one and the rows' own, by their number.
    """
    if pooled is None:
        weight = fit_median_weight(rows, config)
        return Calibration(median_weight=weight, spread=_spread(rows, weight, config))
    own = _spread(rows, pooled.median_weight, config)
    share = len(rows.target) / (len(rows.target) + OWN_ROWS)
    return replace(pooled, spread=float(own**share * pooled.spread ** (1 - share)))


def _spread(rows: ValidationRows, weight: float, config: ForecastConfig) -> float:
    levels = config.quantile_levels
    median = shrunk_median(rows.quantiles, weight)
    low, high = (np.abs(distances(rows.quantiles, median)[:, levels.index(level)]) for level in config.interval_levels)
    return fit_spread(rows.target - median[:, 0], low, high, level=config.interval_level)


def fit_median_weight(rows: ValidationRows, config: ForecastConfig) -> float:
    """The weight of the median in [0, 1]; 0, which forecasts the last close, unless more is significantly better.

    The error, sum of volatility * |target - weight * median|, is least at a weighted median of target / median. That weight is
    taken if its errors, averaged per date because symbols share market days, beat the last close's in a test at SIGNIFICANCE.
    """
    median = rows.quantiles[:, config.quantile_levels.index(0.5)]
    weight = _least_error_weight(rows.target, median, rows.volatility)
    error, naive = (rows.volatility * np.abs(rows.target - share * median) for share in (weight, 0.0))
    gain = np.asarray(pd.Series(naive - error).groupby(rows.dates).mean(), dtype=np.float64)
    return weight if improvement_p(gain) < SIGNIFICANCE else 0.0


def _least_error_weight(target: Array, median: Array, volatility: Array) -> float:
    says_something = np.abs(median) > 0
    if not says_something.any():
        return 0.0
    ratio = target[says_something] / median[says_something]
    order = np.argsort(ratio, kind="stable")
    mass = np.cumsum((volatility * np.abs(median))[says_something][order])
    best = ratio[order][np.searchsorted(mass, mass[-1] / 2)]
    return min(max(0.0, float(best)), 1.0)


def fit_spread(residual: Array, low: Array, high: Array, *, level: float) -> float:
    """The factor by which [-low, high] must be stretched to hold `level` of the residuals, all (rows,).

    Split-conformal: Romano, Patterson & Candes, Conformalized Quantile Regression (2019), with the scores scaled by the width
    on their side instead of shifted, so that the quantiles stay in order and keep their widths' ratio between rows.
    """
    width = np.maximum(np.where(residual < 0, low, high), SMALLEST_DISTANCE)
    scores = np.abs(residual) / width
    # Weibull's position, level * (rows + 1), is where a new score falls below with probability `level`.
    return float(np.clip(np.quantile(scores, level, method="weibull"), *SPREAD_BOUNDS))
