"""The story of one training: bars + config -> features, split, fit, calibration, honest metrics, refit on all bars."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from forecasting.pipeline.adaptation import adapted, stretched
from forecasting.pipeline.artifacts import BaseModel, Fit, ServingModel, TrainedModel
from forecasting.pipeline.calibration import UNCALIBRATED, ValidationRows, fit_calibration
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation import measure, pinball_loss, quantile_column
from forecasting.pipeline.features import Array, FeatureTable, compute_features
from forecasting.pipeline.forecaster import Forecaster
from forecasting.pipeline.network import NETWORK_VERSIONS, QuantileNetwork, network_for
from forecasting.pipeline.onnx_graph import to_onnx
from forecasting.pipeline.volatility import fit_volatility
from forecasting.pipeline.windows import (
    Examples,
    NoRoomError,
    Scaler,
    Split,
    TooFewBarsError,
    UntrainableError,
    make_examples,
    split_rows,
)


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
    bars: pd.DataFrame,
    config: ForecastConfig,
    *,
    symbol: str,
    base: BaseModel | None = None,
    progress: Callable[[Progress], None] = ignore,
) -> TrainedModel:
    """A model of `symbol`'s bars (see bars.py for their contract), measured on test rows, then refitted on all rows.

    It starts from `base` where that fits the config and leaves sessions to measure on that it has not seen, else from nothing.
    Raises UntrainableError, or its subclass TooFewBarsError.
    """
    started = time.perf_counter()
    if len(bars) < config.minimum_bars:
        raise TooFewBarsError(symbol, found=len(bars), needed=config.minimum_bars)
    progress(Progress(stage="features", fraction=0.0))
    table = compute_features(bars, config)
    base, split = _start(table, config, base)
    if stands_still(table, split.test):
        close, sessions = table.close[-1], len(split.test) + 1
        raise UntrainableError(f"{symbol} has had the same close, {close:g}, for its last {sessions} sessions.")
    try:
        evaluated, epochs = evaluate(table, split, config, base, progress)
        backtest, factor = make_backtest(evaluated, table, split.test)
        served, weights = refit(evaluated, table, split, epochs, base, progress)
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
        calibration=replace(served.calibration, factor=factor),
        metrics=measure(backtest, bars["close"], config) | _facts(bars, split, duration_s),
        backtest=backtest,
        from_base=base is not None,
        data_start=bars.index[0].date(),
        data_end=bars.index[-1].date(),
        bar_count=len(bars),
        epochs=epochs,
        duration_s=duration_s,
        versions=library_versions(),
    )


def _start(table: FeatureTable, config: ForecastConfig, base: BaseModel | None) -> tuple[BaseModel | None, Split]:
    """Where the fit starts, and the split that goes with it."""
    if base is not None and base.fits(config):
        try:
            return base, split_rows(table, config, seen=base.seen)
        except NoRoomError:  # an old history, all of it known to the base
            pass
    return None, split_rows(table, config)


def _facts(bars: pd.DataFrame, split: Split, duration_s: float) -> dict[str, object]:
    return {
        "last_data_date": bars.index[-1].date().isoformat(),
        "training_duration": round(duration_s, 1),
        "training_data_size": len(split.train),
        "validation_data_size": len(split.validation),
        "test_size": len(split.test),
    }


def evaluate(
    table: FeatureTable,
    split: Split,
    config: ForecastConfig,
    base: BaseModel | None = None,
    progress: Callable[[Progress], None] = ignore,
) -> tuple[ServingModel, int]:
    """The model fitted on training rows and calibrated on validation rows, and the epochs that validation chose.

    Raises FloatingPointError if the fit diverges.
    """
    network = network_for(config, config.batch_size)
    scaler, examples = _begin(network, table, split.train, config, base.earlier if base else None)
    unseen = make_examples(table, split.validation, scaler, config)
    epochs = _fit_until_no_better(network, examples, unseen, config, from_base=base is not None, progress=progress)
    model = ServingModel(config=config, onnx=to_onnx(network.weights, config), scaler=scaler, calibration=UNCALIBRATED)
    rows = validation_rows(model, table, split.validation)
    return replace(model, calibration=fit_calibration(rows, config, pooled=base.calibration if base else None)), epochs


def refit(
    evaluated: ServingModel,
    table: FeatureTable,
    split: Split,
    epochs: int,
    base: BaseModel | None = None,
    progress: Callable[[Progress], None] = ignore,
) -> tuple[ServingModel, bytes]:
    """The model to serve, fitted on all rows, and its weights file.

    The number of epochs stays, so the steps grow with the rows. The calibration stays too: no rows are left to learn it from.
    Raises FloatingPointError if the fit diverges.
    """
    config = evaluated.config
    network = network_for(config, config.batch_size)
    scaler, examples = _begin(network, table, split.everything, config, base.fit if base else None)
    for epoch in islice(network.epochs(examples, learning_rate=_rate(config, from_base=base is not None)), epochs):
        progress(Progress(stage="refitting", fraction=0.5 + 0.45 * epoch / epochs, epoch=epoch, epochs=epochs))
    require_finite(network)
    progress(Progress(stage="exporting", fraction=0.95))
    return replace(evaluated, onnx=to_onnx(network.weights, config), scaler=scaler), network.to_hdf5()


def make_backtest(model: ServingModel, table: FeatureTable, rows: range) -> tuple[pd.DataFrame, float]:
    """What `model` forecasts at each of `rows`, one after the other, beside what happened, and the factor for the next forecast.

    Columns as in artifacts.TrainedModel. The spread is adapted as it is for live forecasts: each row's knows earlier outcomes.
    """
    now, following = slice(rows.start, rows.stop), slice(rows.start + 1, rows.stop + 1)
    forecaster = Forecaster(model)
    quantiles = forecaster.forecast_rows(table, rows)
    actual = np.log(table.close[following] / table.close[now])
    factors = adapted(quantiles, actual, forecaster.levels, interval=forecaster.interval_levels)
    prices = table.close[now, None] * np.exp(stretched(quantiles, factors[:-1]))
    frame = pd.DataFrame(
        {
            "as_of": table.dates[now],
            "target_date": table.dates[following],
            "last_close": table.close[now],
            "actual_close": table.close[following],
        }
    )
    return frame.assign(**dict(zip(map(quantile_column, model.config.quantile_levels), prices.T, strict=True))), float(factors[-1])


def validation_rows(model: ServingModel, table: FeatureTable, rows: range) -> ValidationRows:
    """What `model` forecasts at `rows` before any calibration, beside what happened."""
    now = slice(rows.start, rows.stop)
    return ValidationRows(
        dates=table.dates[now].to_numpy(),
        target=table.target[now],
        quantiles=Forecaster(model).standardised_quantiles(table, rows),
        volatility=table.volatility[now],
    )


def fit_scaler(table: FeatureTable, rows: range) -> Scaler:
    """Mean and spread of all features that the windows of `rows` contain; a feature that never varies keeps spread 1."""
    return scaler_of(table.features[: rows.stop])


def scaler_of(features: Array) -> Scaler:
    """Mean and spread of each column of (rows, features)."""
    scaler = StandardScaler().fit(features)
    return Scaler(tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist()))


def library_versions() -> dict[str, str]:
    """Versions of what a forecast's numbers may depend on."""
    names = ("numpy", "onnxruntime", "pandas", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in names}, **NETWORK_VERSIONS}


def start_from_nothing(network: QuantileNetwork, examples: Examples, config: ForecastConfig) -> None:
    """The seeded network, its volatility regression fitted on the examples."""
    regressors = examples.last_sessions[:, config.regressors].astype(np.float64)
    network.start_from_nothing(examples, fit_volatility(regressors, examples.target.astype(np.float64), config.quantile_levels))


def require_finite(network: QuantileNetwork) -> None:
    """Raises FloatingPointError where a fit has diverged."""
    if not all(np.isfinite(values).all() for values in network.weights.values()):
        raise FloatingPointError("weights are no longer finite numbers after the refit on all rows")


def _begin(
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


def _rate(config: ForecastConfig, *, from_base: bool) -> float:
    return config.fine_tune_rate if from_base else config.learning_rate


def _fit_until_no_better(
    network: QuantileNetwork,
    examples: Examples,
    unseen: Examples,
    config: ForecastConfig,
    *,
    from_base: bool,
    progress: Callable[[Progress], None],
) -> int:
    """Fits until the validation loss has not improved for `patience` epochs; keeps and counts the best one.

    A base is taken as it is, after 0 epochs, where no epoch makes it better.
    """
    levels = np.array(config.quantile_levels)
    target = unseen.target.astype(np.float64)

    def loss() -> float:
        return pinball_loss(target, np.sort(network.predict(unseen), axis=1), levels)

    best_epoch, best_weights = 0, network.weights
    lowest = loss() if from_base else np.inf
    for epoch in islice(network.epochs(examples, learning_rate=_rate(config, from_base=from_base)), config.max_epochs):
        progress(Progress(stage="fitting", fraction=0.5 * epoch / config.max_epochs, epoch=epoch, epochs=config.max_epochs))
        if (now := loss()) < lowest:
            lowest, best_epoch, best_weights = now, epoch, network.weights
        elif epoch - best_epoch >= config.patience:
            break
    if not np.isfinite(lowest):
        raise FloatingPointError("the validation loss is not a finite number")
    network.weights = best_weights
    return best_epoch


def stands_still(table: FeatureTable, rows: range) -> bool:
    """Whether no close moves over the targets of `rows`: the naive forecast makes no error then, so nothing can be measured by it."""
    closes = table.close[rows.start : rows.stop + 1]
    return bool((closes == closes[0]).all())
