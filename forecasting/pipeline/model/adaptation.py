"""Online calibration: adapts the width of a symbol's next forecast to the outcomes of its earlier ones.

Each symbol and version has one factor per horizon on every quantile's distance from the median. A close outside the interval widens
the next interval; a close inside narrows it slightly. For the next session, steps are larger if the recent coverage deviates more
than by chance.
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
RECENT_OUTCOMES = 500  # sessions of the recent coverage at a horizon of several sessions
GAIN = 4.5  # log factor per unit of coverage error, divided by the root of the horizon's sessions


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


def horizon_factor(outcomes: int, covered: float, *, sessions: int, level: float) -> float:
    """The factor after so many recent outcomes over `sessions`, at most RECENT_OUTCOMES, `covered` of them inside the interval.

    Outcomes come `sessions` late and overlap, so that their number tells less: a loop of steps as in `next_factor` would overshoot.
    The log factor is proportional to the coverage error instead, and less so at longer horizons: the standard error of a coverage
    grows with the root of the number of sessions that overlap. Missing outcomes count as covered at exactly `level`, which keeps
    the factor near 1 until there is evidence.
    """
    return math.exp(GAIN / math.sqrt(sessions) * (level * outcomes - covered) / RECENT_OUTCOMES)


def recent_outcomes(outcomes: int, covered: float, *, earlier: tuple[int, int]) -> tuple[int, float]:
    """These outcomes, at most RECENT_OUTCOMES, and how many are covered; `earlier` ones fill up what is missing."""
    room = min(max(RECENT_OUTCOMES - outcomes, 0), earlier[0])
    return outcomes + room, covered + (room * earlier[1] / earlier[0] if room else 0.0)


def adapted_horizon(
    quantiles: Array,
    actual: Array,
    levels: Array,
    *,
    interval: tuple[float, float],
    sessions: int,
    earlier: tuple[int, int] = (0, 0),
) -> tuple[Array, tuple[int, int]]:
    """Factor of each row, (rows,), and the record of the last RECENT_OUTCOMES outcomes: their number, and how many were inside.

    The factor of row i uses the outcomes of rows up to i - sessions, which the session of row i completes, and those of `earlier`.
    Shapes as in `adapted`; `actual` is NaN in rows without an outcome.
    """
    low, high = np.searchsorted(levels, interval)
    factors = np.ones(len(quantiles))
    recent: deque[bool] = deque(maxlen=RECENT_OUTCOMES)
    for row in range(len(quantiles) + sessions):  # the last rows only complete outcomes
        ended = row - sessions
        if ended >= 0 and np.isfinite(actual[ended]):
            issued = stretched(quantiles[ended], factors[ended])
            recent.append(bool(issued[low] <= actual[ended] <= issued[high]))
        if row < len(quantiles):
            known = recent_outcomes(len(recent), sum(recent), earlier=earlier)
            factors[row] = horizon_factor(*known, sessions=sessions, level=interval[1] - interval[0])
    return factors, (len(recent), sum(recent))


def stretched(quantiles: Array, factor: float | Array) -> Array:
    """Quantiles (..., levels) with every distance from the median multiplied by `factor` (...,)."""
    middle = quantiles.shape[-1] // 2
    median = quantiles[..., middle : middle + 1]
    wide: Array = median + np.asarray(factor)[..., None] * (quantiles - median)
    return wide
