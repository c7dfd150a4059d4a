"""Means over a fixed number of past bars, summed in a fixed order: a row is bit-identical for any longer history.

Summed lag by lag: a running sum would propagate rounding errors from earlier to later rows, and `np.sum` adds in an order that
depends on the shape. A single row, as of a forecast, needs no loop, because `np.add.accumulate` adds in this order too.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def weighted_means(values: Array, weights: Array) -> Array:
    """Of `values` (series, n) by `weights` (means, lags): the weighted mean of each value (lag 0) and those before it.

    Shape (series, means, n - lags + 1).
    """
    rows = values.shape[1] - weights.shape[1] + 1
    shares = weights / weights.sum(axis=1, keepdims=True)
    if rows == 1:
        return np.add.accumulate(values[:, None, ::-1] * shares, axis=-1)[..., -1:]
    total = np.zeros((len(values), len(weights), rows))
    for lag, share in enumerate(shares.T[..., None], start=1):
        total += share * values[:, None, values.shape[1] - rows + 1 - lag : values.shape[1] + 1 - lag]
    return total


def trailing_mean(values: Array, weights: Array) -> Array:
    """As `weighted_means` of one series (n,) by one row of weights (lags,): (n - lags + 1,)."""
    mean: Array = weighted_means(values[None], weights[None])[0, 0]
    return mean


def trailing_means(values: Array, look_backs: tuple[int, ...]) -> Array:
    """Of `values` (series, n): the means of the last so many, (look-backs, series, n - longest look-back + 1)."""
    rows = values.shape[1] - max(look_backs) + 1
    if rows == 1:
        sums = np.add.accumulate(values[:, ::-1], axis=-1)
        return np.stack([sums[:, look_back - 1, None] / look_back for look_back in look_backs])
    total = np.zeros((len(values), rows))
    means = np.empty((len(look_backs), *total.shape))
    for lag in range(1, max(look_backs) + 1):
        total += values[:, values.shape[1] - rows + 1 - lag : values.shape[1] + 1 - lag]
        if lag in look_backs:
            means[look_backs.index(lag)] = total / lag
    return means
