"""Training of one symbol's model: features, split, fit, calibration, out-of-sample metrics, refit on all bars.

A model that starts from a base has the base's network and trees; only its calibration is the symbol's own.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.horizons import measure_horizons
from forecasting.pipeline.evaluation.metrics import measure, relative_mae
from forecasting.pipeline.evaluation.out_of_sample import make_backtest, stands_still, validation_rows
from forecasting.pipeline.evaluation.quantiles import quantile_column
from forecasting.pipeline.model.calibration import UNCALIBRATED
from forecasting.pipeline.model.conformal import at_last_close, fit_calibration
from forecasting.pipeline.model.features import FeatureTable, compute_features
from forecasting.pipeline.model.fitting import begin, fit_until_no_better, library_versions, require_finite
from forecasting.pipeline.model.horizons import Horizons, fit_horizons
from forecasting.pipeline.model.network import network_for
from forecasting.pipeline.model.windows import (
    NoRoomError,
    Split,
    TooFewBarsError,
    UntrainableError,
    make_examples,
    split_rows,
)
from forecasting.pipeline.progress import Progress, ignore
from forecasting.pipeline.serving.onnx_graph import to_onnx
from forecasting.pipeline.serving.trained import BaseModel, ServingModel, TrainedModel
from forecasting.prices.calendars import exchange_of
from forecasting.prices.price_digits import written


def train(
    bars: pd.DataFrame,
    config: ForecastConfig,
    *,
    symbol: str,
    exchange: str = "",
    base: BaseModel | None = None,
    progress: Callable[[Progress], None] = ignore,
) -> TrainedModel:
    """A model of `symbol`, evaluated on test rows and then refitted on all rows of its bars (a contract frame, see bars.py).

    `exchange`: whose calendar the symbol has, if it is not that of its name.

    It starts from `base` if that matches the config and enough sessions for an evaluation are unseen by it. Otherwise it is
    trained from scratch. Raises UntrainableError, or its subclass TooFewBarsError.
    """
    started = time.perf_counter()
    if len(bars) < config.minimum_bars:
        raise TooFewBarsError(symbol, found=len(bars), needed=config.minimum_bars)
    progress(Progress(stage="features", fraction=0.0))
    table = compute_features(bars, config, exchange=exchange or exchange_of(symbol))
    base, split = _start(table, config, base)
    if stands_still(table, split.test):
        close, sessions = table.close[-1], len(split.test) + 1
        raise UntrainableError(f"{symbol} has had the same close, {written(close)}, for its last {sessions} sessions.")
    try:
        evaluated, epochs = evaluate(table, split, config, base, progress)
        evaluated, backtest, factor = _tested(evaluated, table, split)
        served, weights = refit(evaluated, table, split, epochs, base, progress)
    except FloatingPointError as error:
        raise UntrainableError(f"{symbol} cannot be fitted: {error}") from error
    horizons, by_horizon = _horizons(bars["close"], table, split, config, base)
    duration_s = time.perf_counter() - started
    progress(Progress(stage="trained", fraction=1.0))
    return TrainedModel(
        symbol=symbol,
        config=config,
        onnx=served.onnx,
        trees=served.trees,
        weights=weights,
        scaler=served.scaler,
        calibration=replace(served.calibration, factor=factor),
        horizons=horizons,
        metrics={
            **measure(backtest, bars["close"], config),
            "by_horizon": by_horizon,
            "median": served.calibration.median_facts,
            **_facts(bars, split, duration_s),
        },
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
    """The base to start from (None: from scratch), and the split for it."""
    if base is not None and base.fits(config):
        try:
            return base, split_rows(table, config, seen=base.seen)
        except NoRoomError:  # the base has seen nearly all of the history
            pass
    return None, split_rows(table, config)


def _horizons(
    closes: pd.Series, table: FeatureTable, split: Split, config: ForecastConfig, base: BaseModel | None
) -> tuple[Horizons | None, dict[str, dict[str, Any]]]:
    """The base's horizons, or the symbol's own without a base, with the symbol's record; and their metrics on the test rows."""
    if base:
        tested, served = base.earlier_horizons, base.horizons
    else:
        tested, served = (fit_horizons([(table, part.stop)], config) for part in (split.validation, split.test))
    if tested is None or served is None:
        return None, {}
    metrics, records = measure_horizons(tested, table, split.test, closes, config)
    return served.with_records(records), metrics


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
    """The base's earlier fit or one on the training rows, calibrated on validation rows; and its number of epochs, 0 with a base.

    Raises FloatingPointError if the fit diverges.
    """
    model, epochs = (_earlier(base, config), 0) if base else _fitted(table, split, config, progress)
    rows = validation_rows(model, table, split.validation)
    return replace(model, calibration=fit_calibration(rows, config, pooled=base.calibration if base else None)), epochs


def _earlier(base: BaseModel, config: ForecastConfig) -> ServingModel:
    """The base's fit on earlier bars, uncalibrated."""
    network = network_for(config, config.batch_size)
    network.from_hdf5(base.earlier.weights)
    onnx, scaler, trees = to_onnx(network.weights, config), base.earlier.scaler, base.earlier.trees
    return ServingModel(config=config, onnx=onnx, scaler=scaler, calibration=UNCALIBRATED, trees=trees)


def _fitted(
    table: FeatureTable, split: Split, config: ForecastConfig, progress: Callable[[Progress], None]
) -> tuple[ServingModel, int]:
    """A model fitted on the training rows, uncalibrated, and the number of epochs, which the validation rows choose."""
    network = network_for(config, config.batch_size)
    scaler, examples = begin(network, table, split.train, config)
    unseen = make_examples(table, split.validation, scaler, config)

    def report(epoch: int) -> None:
        progress(Progress(stage="fitting", fraction=0.5 * epoch / config.max_epochs, epoch=epoch, epochs=config.max_epochs))

    epochs = fit_until_no_better(network, examples, unseen, config, progress=report)
    return ServingModel(config=config, onnx=to_onnx(network.weights, config), scaler=scaler, calibration=UNCALIBRATED), epochs


def refit(
    evaluated: ServingModel,
    table: FeatureTable,
    split: Split,
    epochs: int,
    base: BaseModel | None = None,
    progress: Callable[[Progress], None] = ignore,
) -> tuple[ServingModel, bytes]:
    """The model to serve, which is the base's fit or one on all rows, and its weights file.

    The number of epochs stays the same, so the number of steps grows with the rows. The calibration also stays, because no
    unseen rows remain to fit it. Raises FloatingPointError if the fit diverges.
    """
    if base:
        return replace(evaluated, onnx=base.onnx, scaler=base.scaler, trees=base.trees), base.weights
    config = evaluated.config
    network = network_for(config, config.batch_size)
    scaler, examples = begin(network, table, split.everything, config)
    for epoch in islice(network.epochs(examples, learning_rate=config.learning_rate), epochs):
        progress(Progress(stage="refitting", fraction=0.5 + 0.45 * epoch / epochs, epoch=epoch, epochs=epochs))
    require_finite(network)
    progress(Progress(stage="exporting", fraction=0.95))
    return replace(evaluated, onnx=to_onnx(network.weights, config), scaler=scaler), network.to_hdf5()


def _tested(model: ServingModel, table: FeatureTable, split: Split) -> tuple[ServingModel, pd.DataFrame, float]:
    """The model, its backtest and the first factor of live forecasts.

    If its median is worse than the last close in the backtest, the median weight becomes 0. This makes the metrics of a
    median that stays slightly optimistic, because they are selected on the test rows.
    """
    backtest, factor = make_backtest(model, table, split.test)
    actual, median, last = (backtest[name].to_numpy() for name in ("actual_close", quantile_column(0.5), "last_close"))
    if relative_mae(actual, median, last) > 1:
        rows = validation_rows(model, table, split.validation)
        model = replace(model, calibration=at_last_close(model.calibration, rows, model.config))
        backtest, factor = make_backtest(model, table, split.test)
    return model, backtest, factor
