"""Online calibration: how wide a symbol's next forecast must be, learnt from whether its earlier ones held.

One number per symbol and version, the factor on every quantile's distance from the median: a close outside the interval widens the
next one, a close inside narrows it a little, and both move faster when the recent record is too bad to be chance.
"""

import math
from collections import deque
from collections.abc import Collection

import numpy as np

from forecasting.pipeline.model.features import Array

STEP = 0.003  # of the log factor, per session and unit of coverage error
RECENT = 100  # sessions whose record decides whether to hurry
CHANCE = 2.0  # standard errors of the recent coverage that may be chance
LARGEST_LOG_FACTOR = 0.5  # the factor stays within 0.61 and 1.65: beyond that a model needs retraining, not stretching


def next_factor(factor: float, recent: Collection[bool], *, level: float) -> float:
    """The factor after a forecast that was issued with `factor`.

    `recent`: whether the closes lay inside the intervals of probability `level`, of the last up to RECENT forecasts, that
    forecast's last. Adaptive conformal inference on the log of the factor: Gibbs & Candes, Adaptive Conformal Inference Under
    Distribution Shift (2021): as long as the factor stays off its bounds, the coverage of n sessions misses its level by at most
    the log factor's range over STEP * n. The step grows by the square of the recent coverage error's z-score once that exceeds
    CHANCE; a record shorter than RECENT is judged as if the rest had been as promised.
    """
    outcomes = np.fromiter(recent, dtype=bool)[-RECENT:]
    score = abs(outcomes.sum() - level * len(outcomes)) / math.sqrt(level * (1 - level) * RECENT)
    step = STEP * (score**2 if score > CHANCE else 1.0)
    log_factor = math.log(factor) + step * (level - float(outcomes[-1]))
    return math.exp(min(max(log_factor, -LARGEST_LOG_FACTOR), LARGEST_LOG_FACTOR))


def adapted(quantiles: Array, actual: Array, levels: Array, *, interval: tuple[float, float], factor: float = 1.0) -> Array:
    """Factor of each row, (rows + 1,), the last one being the next forecast's: row i's knows the outcomes of rows before i only.

    `quantiles` (rows, levels) as the version gives them; `actual` (rows,) in the same units; `interval`: levels of its edges.
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
