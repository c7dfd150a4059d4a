"""Quantile forecasts in frames: names of their columns, and their pinball loss. Imports no scikit-learn: web processes use it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.model.features import Array

REFERENCE_SESSIONS = 250  # sessions whose empirical quantiles are the reference of pinball_ratio


def quantile_column(level: float) -> str:
    """Name of a quantile's column: q05 for 0.05."""
    return f"q{round(level * 100):02d}"


def quantile_columns(frame: pd.DataFrame) -> list[str]:
    """Names of the frame's quantile columns, in their order."""
    return [name for name in frame.columns if name[:1] == "q" and name[1:].isdigit()]


def levels_of(columns: Sequence[str]) -> Array:
    """Levels of quantile columns."""
    return np.array([int(column[1:]) / 100 for column in columns])


def pinball_loss(actual: Array, quantiles: Array, levels: Array) -> float:
    """Mean over forecasts and levels; quantiles (rows, levels). Koenker & Bassett, Regression Quantiles (1978)."""
    return float(_pinball(actual, quantiles, levels).mean())


def pinball_losses(actual: Array, quantiles: Array, levels: Array) -> Array:
    """As `pinball_loss`, for each forecast: (rows,)."""
    return np.asarray(_pinball(actual, quantiles, levels).mean(axis=1))


def _pinball(actual: Array, quantiles: Array, levels: Array) -> Array:
    error = actual[:, None] - quantiles
    return np.asarray(np.maximum(levels * error, (levels - 1) * error))


def reference_quantiles(closes: "npt.NDArray[np.floating[Any]]", levels: Array, *, sessions: int = 1) -> Array:
    """Quantiles of the close that many sessions after the last of `closes` (n,), in prices, as the reference forecasts them.

    They are those of the last REFERENCE_SESSIONS returns over as many sessions, with the last close as median, (levels,).
    """
    returns = np.log(closes[sessions:] / closes[:-sessions])[-REFERENCE_SESSIONS:]
    quantiles = np.where(levels == 0.5, 0.0, np.quantile(returns, levels)) if len(returns) else np.zeros(len(levels))
    prices: Array = closes[-1] * np.exp(quantiles)
    return prices
