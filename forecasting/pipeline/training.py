"""The story of one training: bars + config -> features, split, fit, calibration, honest metrics, refit on all bars, export."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from forecasting.pipeline.artifacts import ServingModel, TrainedModel
from forecasting.pipeline.calibration import UNCALIBRATED, fit_calibration
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation import measure, pinball_loss, quantile_column
from forecasting.pipeline.features import Array, FeatureTable, compute_features
from forecasting.pipeline.forecaster import Forecaster
from forecasting.pipeline.network import NETWORK_VERSIONS, QuantileNetwork, network_for
from forecasting.pipeline.windows import Scaler, Split, TooFewBarsError, UntrainableError, Windows, make_windows, split_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a training is; `fraction` never falls."""

    stage: str
    fraction: float  # of the whole training, 0 to 1
    epoch: int | None = None  # within the stage
    epochs: int | None = None  # at most, within the stage


def ignore(progress: Progress) -> None:
    """For callers that do not follow the progress."""


def train(
    bars: pd.DataFrame, config: ForecastConfig, *, symbol: str, progress: Callable[[Progress], None] = ignore
) -> TrainedModel:
    """A model of `symbol`'s bars (see bars.py for their contract), measured on test rows, then refitted on all rows.

    Raises UntrainableError, or its subclass TooFewBarsError.
    """
    started = time.perf_counter()
    if len(bars) < config.minimum_bars:
        raise TooFewBarsError(symbol, found=len(bars), needed=config.minimum_bars)
    progress(Progress(stage="features", fraction=0.0))
    table = compute_features(bars, config)
    split = split_rows(table, config)
    _require_movement(table, split, symbol)
    try:
        evaluated, epochs = evaluate(table, split, config, progress)
        backtest = make_backtest(evaluated, table, split.test)
        served, weights = refit(evaluated, table, split, epochs, progress)
    except FloatingPointError as error:
        raise UntrainableError(f"{symbol} cannot be fitted: {error}") from error
    duration_s = time.perf_counter() - started
    progress(Progress(stage="trained", fraction=1.0))
    return TrainedModel(
        symbol=symbol,
        config=config,
        onnx=served.onnx,
        weights=weights,
        scaler=served.scaler,
        calibration=served.calibration,
        metrics=measure(backtest, bars["close"], config) | _facts(bars, split, duration_s),
        backtest=backtest,
        data_start=bars.index[0].date(),
        data_end=bars.index[-1].date(),
        bar_count=len(bars),
        epochs=epochs,
        duration_s=duration_s,
        versions=library_versions(),
    )


def _facts(bars: pd.DataFrame, split: Split, duration_s: float) -> dict[str, str | float]:
    """What stands beside the metrics; sizes in windows."""
    return {
        "last_data_date": bars.index[-1].date().isoformat(),
        "training_duration": round(duration_s, 1),
        "training_data_size": len(split.train),
        "validation_data_size": len(split.validation),
        "test_size": len(split.test),
    }


def evaluate(
    table: FeatureTable, split: Split, config: ForecastConfig, progress: Callable[[Progress], None] = ignore
) -> tuple[ServingModel, int]:
    """A model that knows nothing of the test rows, and the number of epochs it was fitted for.

    Training rows give the weights and the scaler; validation rows the number of epochs and the calibration.
    Raises FloatingPointError if the fit diverges.
    """
    scaler = fit_scaler(table, split.train)
    network = network_for(config)
    epochs = _fit_until_no_better(network, table, split, scaler, config, progress)
    progress(Progress(stage="evaluating", fraction=0.5))
    model = ServingModel(config=config, onnx=network.to_onnx(), scaler=scaler, calibration=UNCALIBRATED)
    rows = slice(split.validation.start, split.validation.stop)
    quantiles = Forecaster(model).standardised_quantiles(table, split.validation)
    calibration = fit_calibration(table.target[rows], quantiles, table.volatility[rows], config)
    return replace(model, calibration=calibration), epochs


def refit(
    evaluated: ServingModel, table: FeatureTable, split: Split, epochs: int, progress: Callable[[Progress], None] = ignore
) -> tuple[ServingModel, bytes]:
    """The model to serve, fitted on all rows, and its weights file.

    The number of epochs stays, so the steps grow with the rows. The calibration stays too: no rows are left to learn it from.
    Raises FloatingPointError if the fit diverges.
    """
    config, rows = evaluated.config, split.everything
    scaler = fit_scaler(table, rows)
    network = network_for(config)
    for epoch in islice(network.epochs(*_examples(table, rows, scaler, config)), epochs):
        progress(Progress(stage="refitting", fraction=0.5 + 0.45 * epoch / epochs, epoch=epoch, epochs=epochs))
    if not all(np.isfinite(weights).all() for weights in network.weights):
        raise FloatingPointError("weights are no longer finite numbers after the refit on all rows")
    progress(Progress(stage="exporting", fraction=0.95))
    return replace(evaluated, onnx=network.to_onnx(), scaler=scaler), network.to_hdf5()


def make_backtest(model: ServingModel, table: FeatureTable, rows: range) -> pd.DataFrame:
    """What `model` forecasts at each of `rows`, beside what happened; columns as in artifacts.TrainedModel."""
    now, following = slice(rows.start, rows.stop), slice(rows.start + 1, rows.stop + 1)
    prices = table.close[now, None] * np.exp(Forecaster(model).forecast_rows(table, rows))
    frame = pd.DataFrame(
        {
            "as_of": table.dates[now],
            "target_date": table.dates[following],
            "last_close": table.close[now],
            "actual_close": table.close[following],
        }
    )
    return frame.assign(**dict(zip(map(quantile_column, model.config.quantile_levels), prices.T, strict=True)))


def fit_scaler(table: FeatureTable, rows: range) -> Scaler:
    """Mean and spread of all features that the windows of `rows` contain; a feature that never varies keeps spread 1."""
    scaler = StandardScaler().fit(table.features[: rows.stop])
    return Scaler(tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()))


def library_versions() -> dict[str, str]:
    """Versions of what a forecast's numbers may depend on."""
    names = ("numpy", "onnxruntime", "pandas", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in names}, **NETWORK_VERSIONS}


def _fit_until_no_better(
    network: QuantileNetwork,
    table: FeatureTable,
    split: Split,
    scaler: Scaler,
    config: ForecastConfig,
    progress: Callable[[Progress], None],
) -> int:
    """Fits on training rows until the validation loss has not improved for `patience` epochs; keeps and counts the best one."""
    windows, target = _examples(table, split.train, scaler, config)
    unseen, unseen_target = _examples(table, split.validation, scaler, config)
    levels = np.array(config.quantile_levels)
    lowest, best_epoch, best_weights = np.inf, 0, network.weights
    for epoch in islice(network.epochs(windows, target), config.max_epochs):
        share = epoch / config.max_epochs
        progress(Progress(stage="fitting", fraction=0.5 * share, epoch=epoch, epochs=config.max_epochs))
        loss = pinball_loss(unseen_target, np.sort(network.predict(unseen), axis=1), levels)
        if loss < lowest:
            lowest, best_epoch, best_weights = loss, epoch, network.weights
        elif epoch - best_epoch >= config.patience:
            break
    if not best_epoch:
        raise FloatingPointError("the validation loss is not a finite number")
    network.weights = best_weights
    return best_epoch


def _examples(table: FeatureTable, rows: range, scaler: Scaler, config: ForecastConfig) -> tuple[Windows, Array]:
    return make_windows(table, rows, scaler, config), table.target[rows.start : rows.stop]


def _require_movement(table: FeatureTable, split: Split, symbol: str) -> None:
    """Where the naive forecast makes no error, nothing can be measured against it."""
    closes = table.close[split.test.start : split.test.stop + 1]
    if (closes == closes[0]).all():
        raise UntrainableError(f"{symbol} has had the same close, {closes[0]:g}, for its last {len(closes)} sessions.")
