"""What validation rows, on which the network was not fitted, teach about its quantiles: a Calibration.

Own code: conformal libraries wrap an estimator; here one factor per symbol is pooled with that of the base model.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.metrics import improvement_p
from forecasting.pipeline.model.calibration import Calibration, MedianTest, distances, shrunk_median
from forecasting.pipeline.model.features import Array

SPREAD_BOUNDS = (0.5, 2.0)  # a factor outside of them says that the validation rows are odd, not that the network is
OWN_ROWS = 250  # validation rows of one symbol that weigh as much as what all symbols together have taught
SIGNIFICANCE = 0.05  # at which a median must beat the last close before it is trusted at all
CHOOSING_SHARE = 1 / 3  # of the validation days, the earliest: to choose one number takes fewer days than to test it
FEWEST_DAYS = 30  # with fewer, no test says anything
SMALLEST_DISTANCE = 1e-6  # standardised returns; an interval of no width has no conformity score

# What became of a weight of the median; see MedianTest.reason.
BETTER = "significantly better than the last close on later validation days"
NOT_BETTER = "not significantly better than the last close on later validation days"
NONE_CHOSEN = "no weight was better than the last close on earlier validation days"
TOO_FEW_DAYS = "not tested: there are too few later validation days"
VETOED = "worse than the last close on the test sessions"


@dataclass(frozen=True, slots=True, eq=False)
class ValidationRows:
    """Forecasts of validation rows, of one symbol or of several, and what happened."""

    dates: npt.NDArray[np.datetime64]  # (rows,) as_of
    exchange: npt.NDArray[np.str_]  # (rows,) of the row's symbol; empty if all rows are one symbol's
    target: Array  # (rows,) standardised returns
    quantiles: Array  # (rows, levels) ordered, of the target
    volatility: Array  # (rows,)


def fit_calibration(rows: ValidationRows, config: ForecastConfig, *, pooled: Calibration | None = None) -> Calibration:
    """Learns from validation rows. `pooled`: what all symbols together have taught, where these rows are one symbol's.

    Then the median's weight is the pooled one, and the spread lies between the pooled one and the rows' own, by their number.
    """
    if pooled is None:
        weight, test = fit_median_weight(rows, config)
        return Calibration(median_weight=weight, spread=_spread(rows, weight, config), median_test=test)
    own = _spread(rows, pooled.median_weight, config)
    share = len(rows.target) / (len(rows.target) + OWN_ROWS)
    return replace(pooled, spread=float(own**share * pooled.spread ** (1 - share)))


def at_last_close(calibration: Calibration, rows: ValidationRows, config: ForecastConfig) -> Calibration:
    """The calibration without its median, which was worse than the last close on the test rows.

    The spread changes by as much as that of the validation rows does.
    """
    change = _spread(rows, 0.0, config) / _spread(rows, calibration.median_weight, config)
    test = replace(calibration.median_test, reason=VETOED)
    return replace(calibration, median_weight=0.0, spread=calibration.spread * change, median_test=test)


def _spread(rows: ValidationRows, weight: float, config: ForecastConfig) -> float:
    levels = config.quantile_levels
    median = shrunk_median(rows.quantiles, weight)
    low, high = (np.abs(distances(rows.quantiles, median)[:, levels.index(level)]) for level in config.interval_levels)
    return fit_spread(rows.target - median[:, 0], low, high, level=config.interval_level)


def fit_median_weight(rows: ValidationRows, config: ForecastConfig) -> tuple[float, MedianTest]:
    """The weight of the median in [0, 1], and why; 0, which forecasts the last close, unless more is significantly better.

    The earlier days choose a weight, the later ones, which it has not seen, test it at SIGNIFICANCE. Errors are averaged per date
    first, because symbols share market days. One network has one weight, since it also serves symbols of exchanges that it never
    saw: the weight must beat the last close over all symbols, and must not be significantly worse on any exchange alone.
    """
    median = rows.quantiles[:, config.quantile_levels.index(0.5)]
    days = np.unique(rows.dates)
    earlier = rows.dates < days[round(len(days) * CHOOSING_SHARE)]
    weight = _least_error_weight(rows.target[earlier], median[earlier], rows.volatility[earlier])
    error, naive = (rows.volatility * np.abs(rows.target - share * median) for share in (weight, 0.0))
    later = pd.DataFrame({"date": rows.dates, "exchange": rows.exchange, "gain": naive - error})[~earlier]
    test = _judged(weight, later)
    return (weight if test.reason == BETTER else 0.0), test


def _judged(weight: float, later: pd.DataFrame) -> MedianTest:
    """A weight judged by its gains on the later days, a row a forecast: `date`, `exchange`, `gain`."""
    if weight == 0:
        return MedianTest(reason=NONE_CHOSEN, tried=weight)
    p = _p_of(later)
    named = later[later["exchange"] != ""]
    by_exchange = {str(name): value for name, rows in named.groupby("exchange") if (value := _p_of(rows)) is not None}
    if p is None:
        reason = TOO_FEW_DAYS
    elif harmed := [name for name, value in by_exchange.items() if value > 1 - SIGNIFICANCE]:
        reason = f"significantly worse than the last close on later validation days at {', '.join(harmed)}"
    else:
        reason = BETTER if p < SIGNIFICANCE else NOT_BETTER
    return MedianTest(reason=reason, tried=weight, p=p, p_by_exchange=by_exchange)


def _p_of(later: pd.DataFrame) -> float | None:
    """Of the hypothesis that the mean gain is not positive; None for fewer than FEWEST_DAYS."""
    by_day = later.groupby("date")["gain"].mean().to_numpy()
    return improvement_p(by_day) if len(by_day) >= FEWEST_DAYS else None


def _least_error_weight(target: Array, median: Array, volatility: Array) -> float:
    """The error, sum of volatility * |target - weight * median|, is least at a weighted median of target / median."""
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
