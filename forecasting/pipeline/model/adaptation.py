"""Online calibration: adapts the width of a symbol's next forecast to the outcomes of its earlier ones.

Each symbol and version has one factor on every quantile's distance from the median. A close outside the interval widens the
next interval; a close inside narrows it slightly. Steps are larger if the recent coverage deviates more than by chance.
"""

import math
from collections import deque
from collections.abc import Collection

import numpy as np

from forecasting.pipeline.model.features import Array

STEP = 0.003  # of the log factor, per session and unit of coverage error
RECENT = 100  # sessions of the recent coverage, which sets the step
CHANCE = 2.0  # standard errors by which the recent coverage may deviate by chance
LARGEST_LOG_FACTOR = 0.5  # bounds the factor to 0.61 ... 1.65; a model that needs more must be retrained


def next_factor(factor: float, recent: Collection[bool], *, level: float) -> float:
    """The factor after a forecast that was issued with `factor`.

    `recent`: for up to RECENT last forecasts, this one last, whether the close lay inside the interval of probability `level`.

    Adaptive conformal inference on the log of the factor: Gibbs & Candes, Adaptive Conformal Inference Under Distribution
    Shift (2021). While the factor is within its bounds, coverage over n sessions misses `level` by at most r / (STEP * n); r
    is the range of the log factor. If the z-score of the recent coverage exceeds CHANCE, the step is multiplied by its square.
    If `recent` is shorter than RECENT, the missing outcomes count as covered at exactly `level`.
    """
    outcomes = np.fromiter(recent, dtype=bool)[-RECENT:]
    score = abs(outcomes.sum() - level * len(outcomes)) / math.sqrt(level * (1 - level) * RECENT)
    step = STEP * (score**2 if score > CHANCE else 1.0)
    log_factor = math.log(factor) + step * (level - float(outcomes[-1]))
    return math.exp(min(max(log_factor, -LARGEST_LOG_FACTOR), LARGEST_LOG_FACTOR))


def adapted(quantiles: Array, actual: Array, levels: Array, *, interval: tuple[float, float], factor: float = 1.0) -> Array:
    """Factor of each row and of the next forecast, (rows + 1,). The factor of row i uses only outcomes of earlier rows.

    `quantiles` (rows, levels): without factors; `actual` (rows,): in the same units; `interval`: its lower and upper level.
    """
    factors = [factor]
    recent: deque[bool] = deque(maxlen=RECENT)
    low, high = np.searchsorted(levels, interval)
    for row, happened in zip(quantiles, actual, strict=True):
        issued = stretched(row, factors[-1])
        recent.append(bool(issued[low] <= happened <= issued[high]))
        factors.append(next_factor(factors[-1], recent, level=interval[1] - interval[0]))
    return np.array(factors)


def stretched(quantiles: Array, factor: float | Array) -> Array:
    """Quantiles (..., levels) with every distance from the median multiplied by `factor` (...,)."""
    middle = quantiles.shape[-1] // 2
    median = quantiles[..., middle : middle + 1]
    wide: Array = median + np.asarray(factor)[..., None] * (quantiles - median)
    return wide
