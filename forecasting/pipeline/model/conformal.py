"""Fits a Calibration on validation rows, on which the network was not fitted."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.metrics import improvement_p
from forecasting.pipeline.model.calibration import Calibration, MedianTest, distances, shrunk_median
from forecasting.pipeline.model.distribution import TAIL_LEVEL
from forecasting.pipeline.model.features import Array

SPREAD_BOUNDS = (0.5, 2.0)  # a factor outside indicates unusual validation rows rather than a wrong network
OWN_ROWS = 250  # number of validation rows of one symbol with the same weight as the pooled spread
USUAL_TAIL = 1.6  # distance of the 1 % quantile from the median over that of the 5 % one: 52 stocks, 2010 to 2021
TAIL_ROWS = 2000  # number of validation rows with the same weight as USUAL_TAIL
SIGNIFICANCE = 0.05  # level at which the median must beat the last close to get a weight above 0
CHOOSING_SHARE = 1 / 3  # earliest share of the validation days, which chooses the weight; a test needs more days
FEWEST_DAYS = 30  # minimum number of days for a test
ENDS = ((-1, 0), (1, -1))  # sign of the errors on each side of the median, and the column of its outermost quantile
SMALLEST_DISTANCE = 1e-6  # standardised returns; conformity scores need intervals of positive width

# Values of MedianTest.reason.
BETTER = "significantly better than the last close on later validation days"
NOT_BETTER = "not significantly better than the last close on later validation days"
NONE_CHOSEN = "no weight was better than the last close on earlier validation days"
TOO_FEW_DAYS = "not tested: there are too few later validation days"
VETOED = "worse than the last close on the test sessions"


@dataclass(frozen=True, slots=True, eq=False)
class ValidationRows:
    """Forecasts and outcomes of validation rows, of one symbol or several."""

    dates: npt.NDArray[np.datetime64]  # (rows,) as_of
    exchange: npt.NDArray[np.str_]  # (rows,) exchange of the row's symbol; "" if all rows belong to one symbol
    target: Array  # (rows,) standardised returns
    quantiles: Array  # (rows, levels) ordered, of the target
    volatility: Array  # (rows,)


def fit_calibration(rows: ValidationRows, config: ForecastConfig, *, pooled: Calibration | None = None) -> Calibration:
    """Fits a calibration. `pooled`: the calibration of all symbols, if `rows` belong to one symbol.

    In that case the median's weight and the tail are the pooled ones. The spread is a mean of the pooled one and the rows' own,
    weighted by the number of rows.
    """
    if pooled is None:
        weight, test = fit_median_weight(rows, config)
        calibration = Calibration(median_weight=weight, spread=_spread(rows, weight, config), median_test=test)
        return replace(calibration, tail=_fit_tail(rows, calibration))
    own = _spread(rows, pooled.median_weight, config)
    share = len(rows.target) / (len(rows.target) + OWN_ROWS)
    return replace(pooled, spread=float(own**share * pooled.spread ** (1 - share)))


def at_last_close(calibration: Calibration, rows: ValidationRows, config: ForecastConfig) -> Calibration:
    """The calibration with median weight 0, for a median that is worse than the last close on the test rows.

    The spread changes by the same ratio as that of the validation rows.
    """
    change = _spread(rows, 0.0, config) / _spread(rows, calibration.median_weight, config)
    test = replace(calibration.median_test, reason=VETOED)
    return replace(calibration, median_weight=0.0, spread=calibration.spread * change, median_test=test)


def _spread(rows: ValidationRows, weight: float, config: ForecastConfig) -> float:
    levels = config.quantile_levels
    median = shrunk_median(rows.quantiles, weight)
    low, high = (np.abs(distances(rows.quantiles, median)[:, levels.index(level)]) for level in config.interval_levels)
    return fit_spread(rows.target - median[:, 0], low, high, level=config.interval_level)


def _fit_tail(rows: ValidationRows, calibration: Calibration) -> float:
    """How many times further from the median than the outermost quantile a share TAIL_LEVEL of the outcomes lies, on either side.

    Both sides together, because few rows lie there, and shrunk towards USUAL_TAIL.
    """
    quantiles = calibration.apply(rows.quantiles)
    middle = quantiles.shape[1] // 2
    error = rows.target - quantiles[:, middle]
    sides = [side * error / np.maximum(np.abs(quantiles[:, end] - quantiles[:, middle]), SMALLEST_DISTANCE) for side, end in ENDS]
    own = max(float(np.quantile(np.concatenate(sides), 1 - TAIL_LEVEL)), 1.0)
    share = len(error) / (len(error) + TAIL_ROWS)
    return float(own**share * USUAL_TAIL ** (1 - share))


def fit_median_weight(rows: ValidationRows, config: ForecastConfig) -> tuple[float, MedianTest]:
    """The weight of the median in [0, 1] and its test; 0, the last close, unless a higher weight is significantly better.

    The earlier days choose a weight; the later, unseen days test it at SIGNIFICANCE. Errors are first averaged per date,
    because symbols share market days.

    A network has one weight for all exchanges, because it also serves symbols of exchanges without training data. The weight
    must beat the last close over all symbols, and must not be significantly worse on any single exchange.
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
    """Test of a weight by its gains on the later days; one row per forecast: `date`, `exchange`, `gain`."""
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
    """p-value of the hypothesis that the mean gain is not positive; None for fewer than FEWEST_DAYS."""
    by_day = later.groupby("date")["gain"].mean().to_numpy()
    return improvement_p(by_day) if len(by_day) >= FEWEST_DAYS else None


def _least_error_weight(target: Array, median: Array, volatility: Array) -> float:
    """The weight with the least error, sum of volatility * |target - weight * median|: a weighted median of target / median."""
    nonzero = np.abs(median) > 0
    if not nonzero.any():
        return 0.0
    ratio = target[nonzero] / median[nonzero]
    order = np.argsort(ratio, kind="stable")
    mass = np.cumsum((volatility * np.abs(median))[nonzero][order])
    best = ratio[order][np.searchsorted(mass, mass[-1] / 2)]
    return min(max(0.0, float(best)), 1.0)


def fit_spread(residual: Array, low: Array, high: Array, *, level: float) -> float:
    """The factor on [-low, high] that makes it contain a share `level` of the residuals, all (rows,).

    Split conformal: Romano, Patterson & Candes, Conformalized Quantile Regression (2019). Here each score is divided by
    the width on its side of the median, instead of shifted. Quantiles thus stay ordered, and the ratio of widths between rows does
    not change.
    """
    width = np.maximum(np.where(residual < 0, low, high), SMALLEST_DISTANCE)
    scores = np.abs(residual) / width
    # A new score is below the Weibull position, level * (rows + 1), with probability `level`.
    return float(np.clip(np.quantile(scores, level, method="weibull"), *SPREAD_BOUNDS))
