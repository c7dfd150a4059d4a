"""One fit of the network: where it starts, when it stops. The training of a symbol and that of the base are made of these.

Early stopping is our own: a base may be best after 0 epochs, which Keras's EarlyStopping never keeps.
"""

from collections.abc import Callable
from itertools import islice

import numpy as np
from sklearn.preprocessing import StandardScaler

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.metrics import pinball_loss
from forecasting.pipeline.model.features import Array, FeatureTable
from forecasting.pipeline.model.network import QuantileNetwork
from forecasting.pipeline.model.volatility import fit_volatility
from forecasting.pipeline.model.windows import Examples, Scaler, make_examples
from forecasting.pipeline.serving.artifacts import Fit


def fit_scaler(table: FeatureTable, rows: range) -> Scaler:
    """Mean and spread of all features that the windows of `rows` contain; a feature that never varies keeps spread 1."""
    return scaler_of(table.features[: rows.stop])


def scaler_of(features: Array) -> Scaler:
    """Mean and spread of each column of (rows, features)."""
    scaler = StandardScaler().fit(features)
    return Scaler(tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()))


def start_from_nothing(network: QuantileNetwork, examples: Examples, config: ForecastConfig) -> None:
    """The seeded network, its volatility regression fitted on the examples."""
    regressors = examples.last_sessions[:, config.regressors].astype(np.float64)
    network.start_from_nothing(examples, fit_volatility(regressors, examples.target.astype(np.float64), config.quantile_levels))


def begin(
    network: QuantileNetwork, table: FeatureTable, rows: range, config: ForecastConfig, start: Fit | None
) -> tuple[Scaler, Examples]:
    """Puts the network at the start of a fit on `rows`; the scaler and the examples that go with it."""
    scaler = start.scaler if start else fit_scaler(table, rows)
    examples = make_examples(table, rows, scaler, config)
    if start:
        network.from_hdf5(start.weights)
    else:
        start_from_nothing(network, examples, config)
    return scaler, examples


def learning_rate(config: ForecastConfig, *, from_base: bool) -> float:
    """Of a fit that starts from a base, or from nothing."""
    return config.fine_tune_rate if from_base else config.learning_rate


def most_epochs(config: ForecastConfig, *, from_base: bool) -> int:
    """Of a fit that starts from a base, or from nothing."""
    return config.fine_tune_epochs if from_base else config.max_epochs


def fit_until_no_better(
    network: QuantileNetwork,
    examples: Examples,
    unseen: Examples,
    config: ForecastConfig,
    *,
    from_base: bool,
    progress: Callable[[int], None],
) -> int:
    """Fits until the loss on `unseen` has not improved for `patience` epochs; keeps and counts the best one.

    A base is taken as it is, after 0 epochs, where no epoch makes it better. `progress` is told of each epoch behind it.
    Raises FloatingPointError where the loss is never a finite number.
    """
    best_epoch, best_weights = 0, network.weights
    lowest = _loss(network, unseen, config) if from_base else np.inf
    epochs = network.epochs(examples, learning_rate=learning_rate(config, from_base=from_base))
    for epoch in islice(epochs, most_epochs(config, from_base=from_base)):
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
    """Raises FloatingPointError where a fit has diverged."""
    if not all(np.isfinite(values).all() for values in network.weights.values()):
        raise FloatingPointError("weights are no longer finite numbers")
