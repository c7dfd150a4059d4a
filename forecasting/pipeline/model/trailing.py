"""Means over a fixed number of past bars, summed in a fixed order: a row is bit-identical for any longer history."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def weighted_means(values: Array, weights: Array) -> Array:
    """Of `values` (series, n) by `weights` (means, lags): the weighted mean of each value (lag 0) and those before it.

    Shape (series, means, n - lags + 1). Summed lag by lag, because a running sum would propagate rounding errors from earlier to
    later rows.
    """
    lags = weights.shape[1]
    shares = weights / weights.sum(axis=1, keepdims=True)
    total = np.zeros((len(values), len(weights), values.shape[1] - lags + 1))
    for lag in range(lags):
        total += shares[:, lag, None] * values[:, None, lags - 1 - lag : values.shape[1] - lag]
    return total


def trailing_mean(values: Array, weights: Array) -> Array:
    """As `weighted_means` of one series (n,) by one row of weights (lags,): (n - lags + 1,)."""
    mean: Array = weighted_means(values[None], weights[None])[0, 0]
    return mean


def trailing_means(values: Array, look_backs: tuple[int, ...]) -> dict[int, Array]:
    """By look-back, the means of the last so many columns of `values` (series, n), each (series, n - longest look-back + 1).

    Added lag by lag, in one pass over the longest look-back, for the reason of `weighted_means`.
    """
    longest = max(look_backs)
    total = np.zeros((len(values), values.shape[1] - longest + 1))
    means = {}
    for lag in range(longest):
        total += values[:, longest - 1 - lag : values.shape[1] - lag]
        if lag + 1 in look_backs:
            means[lag + 1] = total / (lag + 1)
    return means
