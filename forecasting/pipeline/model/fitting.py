"""Steps of a network fit, for trainings of symbols and of the base: initial weights, early stopping, check for divergence."""

import platform
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice

import numpy as np
from sklearn.preprocessing import StandardScaler

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.quantiles import pinball_loss
from forecasting.pipeline.model.features import Array, FeatureTable
from forecasting.pipeline.model.network import NETWORK_VERSIONS, QuantileNetwork
from forecasting.pipeline.model.volatility import fit_volatility
from forecasting.pipeline.model.windows import Examples, Scaler, make_examples


def fit_scaler(table: FeatureTable, rows: range) -> Scaler:
    """Mean and spread of all features in the windows of `rows`; a constant feature has spread 1."""
    return scaler_of(table.features[: rows.stop])


def scaler_of(features: Array) -> Scaler:
    """Mean and spread of each column of (rows, features)."""
    scaler = StandardScaler().fit(features)
    return Scaler(tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()))


def start_from_scratch(network: QuantileNetwork, examples: Examples, config: ForecastConfig) -> None:
    """Resets the network to its seeded weights, with a volatility regression fitted on the examples."""
    regressors = examples.last_sessions[:, config.regressors].astype(np.float64)
    network.start_from_scratch(examples, fit_volatility(regressors, examples.target.astype(np.float64), config.quantile_levels))


def begin(network: QuantileNetwork, table: FeatureTable, rows: range, config: ForecastConfig) -> tuple[Scaler, Examples]:
    """Sets the network's initial weights for a fit on `rows`; returns the scaler and the examples of the fit."""
    scaler = fit_scaler(table, rows)
    examples = make_examples(table, rows, scaler, config)
    start_from_scratch(network, examples, config)
    return scaler, examples


def fit_until_no_better(
    network: QuantileNetwork,
    examples: Examples,
    unseen: Examples,
    config: ForecastConfig,
    *,
    progress: Callable[[int], None],
) -> int:
    """Fits until the loss on `unseen` has not improved for `patience` epochs; restores the best epoch and returns its number.

    `progress` receives each finished epoch. Raises FloatingPointError if the loss is never finite.
    """
    best_epoch, best_weights, lowest = 0, network.weights, np.inf
    for epoch in islice(network.epochs(examples, learning_rate=config.learning_rate), config.max_epochs):
        progress(epoch)
        if (now := _loss(network, unseen, config)) < lowest:
            lowest, best_epoch, best_weights = now, epoch, network.weights
        elif epoch - best_epoch >= config.patience:
            break
    if not np.isfinite(lowest):
        raise FloatingPointError("the validation loss is not a finite number")
    network.weights = best_weights
    return best_epoch


def _loss(network: QuantileNetwork, unseen: Examples, config: ForecastConfig) -> float:
    quantiles = np.sort(network.predict(unseen), axis=1)
    return pinball_loss(unseen.target.astype(np.float64), quantiles, np.array(config.quantile_levels))


def require_finite(network: QuantileNetwork) -> None:
    """Raises FloatingPointError if a fit has diverged."""
    if not all(np.isfinite(values).all() for values in network.weights.values()):
        raise FloatingPointError("weights are no longer finite numbers")


def library_versions() -> dict[str, str]:
    """Versions of Python and the libraries that may affect forecasts."""
    names = ("numpy", "onnxruntime", "pandas", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in names}, **NETWORK_VERSIONS}
