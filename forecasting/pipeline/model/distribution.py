"""The distribution that quantiles describe: probabilities, intervals and value at risk, with tails beyond the outermost quantiles.

Between two quantiles, the quantile is linear in the normal score of its level. Beyond the outermost ones the probability falls with
a power of the distance from the median (Pareto tail): Hill, A Simple General Approach to Inference About the Tail of a Distribution
(1975). Its exponent follows from the two outermost quantiles of that side.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from forecasting.pipeline.model.features import Array

TAIL_LEVEL = 0.01  # of the lowest quantile; 1 - TAIL_LEVEL of the highest
COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.98)  # of intervals that a caller may ask for
NORMAL = NormalDist()


def probability_below(quantiles: Sequence[float] | Array, levels: Sequence[float] | Array, value: float) -> float:
    """Probability of less than `value`, for ascending quantiles with ascending levels, 0.5 in their middle.

    If several quantiles equal `value`, the result is the mean of the limits from both sides.
    """
    values, middle = np.asarray(quantiles, dtype=float), len(levels) // 2
    if value < values[0]:
        return _beyond(values[middle] - value, values[middle] - values[[0, 1]], levels[0], levels[1])
    if value > values[-1]:
        return 1 - _beyond(value - values[middle], values[[-1, -2]] - values[middle], 1 - levels[-1], 1 - levels[-2])
    scores = _scores(levels)
    limits = np.interp(value, values, scores), -np.interp(-value, -values[::-1], -scores[::-1])
    return sum(NORMAL.cdf(float(score)) for score in limits) / 2


def _beyond(distance: float, outermost: Array, level: float, next_level: float) -> float:
    """Probability beyond `distance` from the median. `outermost`: distances of the last quantile and of the one before it."""
    if outermost[1] <= 0 or outermost[0] <= outermost[1]:  # no tail can be told from equal quantiles
        return 0.0
    exponent = math.log(next_level / level) / math.log(outermost[0] / outermost[1])
    return float(level * (outermost[0] / distance) ** exponent)


def probability_up(quantiles: Sequence[float] | Array, levels: Sequence[float] | Array) -> float:
    """Probability of a positive return, from the quantiles of one return."""
    return 1 - probability_below(quantiles, levels, 0.0)


def quantile_at(quantiles: Sequence[float] | Array, levels: Sequence[float] | Array, level: float) -> float:
    """The quantile of any level within the outermost ones. Raises ValueError for others."""
    if not levels[0] <= level <= levels[-1]:
        raise ValueError(f"the level {level} lies outside {levels[0]} ... {levels[-1]}")
    return float(np.interp(NORMAL.inv_cdf(level), _scores(levels), quantiles))


def with_tails(quantiles: Array, ratio: float) -> Array:
    """Quantiles (..., levels) with one more on each side, `ratio` times as far from the median as the outermost."""
    middle = quantiles.shape[-1] // 2
    median, ends = quantiles[..., middle, None], quantiles[..., [0, -1]]
    beyond = median + ratio * (ends - median)
    return np.concatenate([beyond[..., :1], quantiles, beyond[..., 1:]], axis=-1)


def outer_quantile(quantiles: Sequence[float] | Array, levels: Sequence[float] | Array, level: float) -> float:
    """The quantile of a level below the outermost one, by the tail of that side: the inverse of `probability_below`."""
    median = quantiles[len(levels) // 2]
    last, before = median - quantiles[0], median - quantiles[1]
    if before <= 0 or last <= before:
        return float(quantiles[0])
    exponent = math.log(levels[1] / levels[0]) / math.log(last / before)
    return float(median - last * (levels[0] / level) ** (1 / exponent))


def reweighted(probability: float, upper_half: float) -> float:
    """The probability of less than a value, from that of a distribution whose upper half has not 0.5 but `upper_half`."""
    if probability <= 0.5:
        return 2 * (1 - upper_half) * probability
    return probability + (1 - 2 * upper_half) * (1 - probability)


def unweighted(probability: float, upper_half: float) -> float:
    """The inverse of `reweighted`."""
    if probability <= 1 - upper_half:
        return probability / (2 * (1 - upper_half))
    return 1 - (1 - probability) / (2 * upper_half)


class PriceDistribution:
    """The distribution of a future close. Probabilities of moves beyond its quantiles need those of TAIL_LEVEL.

    `upper_half`: the probability of more than the median. If it is not 0.5, both halves are reweighted to it. That changes the
    probabilities of moves and the value at risk. The quantiles, and so the intervals, stay as they are.
    """

    def __init__(self, quantiles: Mapping[str, float], *, last_close: float, upper_half: float = 0.5) -> None:
        """`quantiles`: probability level to price, ascending, as a forecast stores them. `upper_half`: in (0, 1)."""
        self._levels = [float(level) for level in quantiles]
        self._returns = [math.log(price / last_close) for price in quantiles.values()]
        self._last_close = last_close
        self._upper_half = upper_half

    @property
    def has_tails(self) -> bool:
        """Whether its tails were fitted. Forecasts of earlier releases lack them."""
        return self._levels[0] <= TAIL_LEVEL and self._levels[-1] >= 1 - TAIL_LEVEL

    def moved(self, percent: float) -> float:
        """The price `percent` above the last close; below it if negative."""
        return self._last_close * (1 + percent / 100)

    def probability_below(self, price: float) -> float:
        """Probability of a close below `price`."""
        return reweighted(probability_below(self._returns, self._levels, math.log(price / self._last_close)), self._upper_half)

    def probability_of_fall(self, percent: float) -> float:
        """Probability of a close more than `percent` below the last one."""
        return self.probability_below(self.moved(-percent))

    def probability_of_rise(self, percent: float) -> float:
        """Probability of a close more than `percent` above the last one."""
        return 1 - self.probability_below(self.moved(percent))

    def value_at_risk(self, percent: float) -> float:
        """The loss in percent of the last close that is not exceeded with a probability of `percent`; 0 if none is likely."""
        level = unweighted(1 - percent / 100, self._upper_half)
        quantile = outer_quantile if level < self._levels[0] else quantile_at
        return max(0.0, -100 * math.expm1(quantile(self._returns, self._levels, level)))

    def interval(self, coverage: float) -> tuple[float, float]:
        """The prices between which the close lies with probability `coverage`, equally often above and below."""
        ends = (quantile_at(self._returns, self._levels, level) for level in ((1 - coverage) / 2, (1 + coverage) / 2))
        low, high = (self._last_close * math.exp(end) for end in ends)
        return low, high


def _scores(levels: Sequence[float] | Array) -> Array:
    return np.array([NORMAL.inv_cdf(float(level)) for level in levels])
