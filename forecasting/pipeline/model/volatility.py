"""The volatility regression: the expected size of the next move, linear in recent sizes, fitted in closed form.

It is the second expert beside the LSTM. The errors of the two differ, so that their mean is better than either.
"""

from dataclasses import dataclass

import numpy as np

from forecasting.pipeline.model.features import Array

SMALLEST_SIZE = 0.2  # lower bound of the next move's size, in units of EWMA volatility
LARGEST_TARGET = 8.0  # standardised returns are clipped to this, because larger ones would dominate the fit
REWEIGHTINGS = 2


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityRegression:
    """Quantiles of the standardised return: `levels` * max(intercept + regressors @ coefficients, SMALLEST_SIZE)."""

    coefficients: Array  # (regressors,)
    intercept: float
    levels: Array  # (levels,), ascending, 0 in the middle

    def size(self, regressors: Array) -> Array:
        """Expected absolute standardised return, (rows,)."""
        size: Array = np.maximum(self.intercept + regressors @ self.coefficients, SMALLEST_SIZE)
        return size


def fit_volatility(regressors: Array, target: Array, levels: tuple[float, ...]) -> VolatilityRegression:
    """Fits the regression on standardised regressors (rows, regressors) and standardised returns (rows,).

    Least squares of the absolute return, reweighted by the fitted size, because the spread of absolute returns grows with it.
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
