"""The volatility regression: how large the next move will be, linear in recent sizes, fitted in closed form.

The second expert beside the LSTM. It is hard to beat, errs in other places than the network, and so their mean beats both.
"""

from dataclasses import dataclass

import numpy as np

from forecasting.pipeline.model.features import Array

SMALLEST_SIZE = 0.2  # of the next move, in units of its EWMA volatility
LARGEST_TARGET = 8.0  # standardised returns; larger ones would decide the fit alone
REWEIGHTINGS = 2


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityRegression:
    """Quantiles of the standardised return: `levels` times the size, max(intercept + regressors @ coefficients, SMALLEST_SIZE)."""

    coefficients: Array  # (regressors,)
    intercept: float
    levels: Array  # (levels,), ascending, 0 in the middle

    def size(self, regressors: Array) -> Array:
        """Expected absolute standardised return, (rows,)."""
        size: Array = np.maximum(self.intercept + regressors @ self.coefficients, SMALLEST_SIZE)
        return size


def fit_volatility(regressors: Array, target: Array, levels: tuple[float, ...]) -> VolatilityRegression:
    """From standardised regressors (rows, regressors) and standardised returns (rows,).

    Least squares of the absolute return, reweighted by the fitted size, since the spread of an absolute return grows with it.
    """
    bounded = target.clip(-LARGEST_TARGET, LARGEST_TARGET)
    design = np.column_stack([regressors, np.ones(len(regressors))])
    size = np.ones(len(design))
    for _ in range(1 + REWEIGHTINGS):
        weighted, actual = design / size[:, None], np.abs(bounded) / size
        solution = np.linalg.lstsq(weighted.T @ weighted, weighted.T @ actual, rcond=None)[0]
        size = np.maximum(design @ solution, SMALLEST_SIZE)
    quantiles = np.quantile(bounded / size, levels)
    quantiles[len(levels) // 2] = 0.0
    return VolatilityRegression(coefficients=solution[:-1], intercept=float(solution[-1]), levels=np.sort(quantiles))
