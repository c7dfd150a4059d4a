"""What validation rows teach about a network's quantiles: how far to trust its median and how wide to spread the rest.

Plain numbers that travel with the artifact. Learnt on rows that the network was not fitted on, applied to every forecast.
"""

from dataclasses import dataclass

import numpy as np

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.features import Array

SPREAD_BOUNDS = (0.5, 2.0)  # a factor outside of them says that the validation rows are odd, not that the network is
SMALLEST_DISTANCE = 1e-6  # standardised returns; an interval of no width has no conformity score


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A correction of ordered quantiles of one return, in any unit."""

    median_weight: float  # in [0, 1]: 0 forecasts the last close, 1 the network's own median
    spread: float  # factor on every quantile's distance from the median

    def apply(self, quantiles: Array) -> Array:
        """Corrected (rows, levels) in the same units, ascending as long as `quantiles` are."""
        median = _shrunk_median(quantiles, self.median_weight)
        return median + self.spread * _distances(quantiles, median)


UNCALIBRATED = Calibration(median_weight=1.0, spread=1.0)


def fit_calibration(target: Array, quantiles: Array, volatility: Array, config: ForecastConfig) -> Calibration:
    """Learns from validation rows: standardised returns (rows,), their ordered quantiles (rows, levels), volatility (rows,)."""
    levels = config.quantile_levels
    weight = fit_median_weight(target, quantiles[:, levels.index(0.5)], volatility)
    median = _shrunk_median(quantiles, weight)
    low, high = (np.abs(_distances(quantiles, median)[:, levels.index(level)]) for level in config.interval_levels)
    spread = fit_spread(target - median[:, 0], low, high, level=config.interval_level)
    return Calibration(median_weight=weight, spread=spread)


def fit_median_weight(target: Array, median: Array, volatility: Array) -> float:
    """The weight in [0, 1] of `median` that gives the least mean absolute error in log returns; 0 where none helps.

    The error, sum of volatility * |target - weight * median|, is least at a weighted median of target / median.
    """
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


def probability_up(quantiles: Array, levels: Array) -> float:
    """Probability of a positive return, from the quantiles (levels,) of one forecast and straight lines between them.

    Never outside the outermost levels. Quantiles that coincide at zero are read from both sides and averaged.
    """
    below_or_at = np.interp(0.0, quantiles, levels)
    above_or_at = np.interp(0.0, -quantiles[::-1], 1 - levels[::-1])
    return float((1 - below_or_at + above_or_at) / 2)


def _shrunk_median(quantiles: Array, weight: float) -> Array:
    """(rows, 1)"""
    middle = quantiles.shape[1] // 2
    return weight * quantiles[:, middle : middle + 1]


def _distances(quantiles: Array, median: Array) -> Array:
    """Signed distances (rows, levels) from `median` (rows, 1); a quantile on the wrong side of it is moved onto it."""
    side = np.sign(np.arange(quantiles.shape[1]) - quantiles.shape[1] // 2)
    distances: Array = side * np.maximum(side * (quantiles - median), 0.0)
    return distances
