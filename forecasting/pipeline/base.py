"""Training of the base model: one network for the histories of many symbols, evaluated on later days, then refitted on all."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.horizons import measure_horizons
from forecasting.pipeline.evaluation.metrics import directional_accuracy, improvement_p, measure, price_errors
from forecasting.pipeline.evaluation.out_of_sample import make_backtest, stands_still, validation_rows
from forecasting.pipeline.model.calibration import UNCALIBRATED
from forecasting.pipeline.model.conformal import ValidationRows, at_last_close, fit_calibration
from forecasting.pipeline.model.features import FeatureTable, compute_features
from forecasting.pipeline.model.fitting import library_versions, require_finite, scaler_of, start_from_scratch
from forecasting.pipeline.model.horizons import Horizons, fit_horizons
from forecasting.pipeline.model.network import THREADS, QuantileNetwork, network_for
from forecasting.pipeline.model.trees import fit_trees
from forecasting.pipeline.model.windows import (
    Examples,
    Scaler,
    Seen,
    Split,
    UntrainableError,
    holdouts,
    joined,
    make_examples,
    split_rows_at,
)
from forecasting.pipeline.progress import Progress, ignore
from forecasting.pipeline.serving import tree_graph
from forecasting.pipeline.serving.onnx_graph import to_onnx
from forecasting.pipeline.serving.trained import BaseModel, Fit, ServingModel
from forecasting.prices.calendars import exchange_of

History = tuple[str, pd.DataFrame]  # symbol and bars


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    """One symbol of the base and the part of its history that training keeps."""

    symbol: str
    table: FeatureTable
    closes: pd.Series
    start: date


def train_base(histories: Iterable[History], config: ForecastConfig, *, progress: Callable[[Progress], None] = ignore) -> BaseModel:
    """A base model of all histories (contract frames, see bars.py) that are long enough, read one at a time.

    All symbols are split at the same dates, because they share market days. Reading stops at `config.base_bars` bars in total.
    Raises UntrainableError if there are too few bars for a fit or an evaluation.
    """
    started = time.perf_counter()
    members = _read(histories, config, progress)
    seen = _split_dates(members, config)
    splits = [split_rows_at(member.table, config, seen) for member in members]
    network = network_for(config, config.base_batch)
    try:
        evaluated, earlier = _evaluate(network, members, splits, config, progress)
        progress(Progress(stage="measuring", fraction=0.55))
        evaluated, metrics = _tested(evaluated, members, splits, config)
        scaler = _fit(network, members, [split.everything for split in splits], config, _stage("refitting", 0.6, config, progress))
        require_finite(network)
        trees = _fit_trees(members, [split.everything for split in splits], config)
    except FloatingPointError as error:
        raise UntrainableError(f"The base model cannot be fitted: {error}") from error
    earlier_horizons = _horizons(members, seen.calibrated_through, config)
    duration_s = time.perf_counter() - started
    data_end = max(member.table.dates[-1].date() for member in members)
    progress(Progress(stage="trained", fraction=1.0))
    return BaseModel(
        config=config,
        onnx=to_onnx(network.weights, config),
        trees=trees,
        weights=network.to_hdf5(),
        scaler=scaler,
        calibration=evaluated.calibration,
        earlier=earlier,
        horizons=_horizons(members, data_end, config),
        earlier_horizons=earlier_horizons,
        seen=seen,
        symbols=tuple(member.symbol for member in members),
        metrics=metrics
        | {
            "by_horizon": _measure_horizons(earlier_horizons, members, splits, config),
            "last_data_date": data_end.isoformat(),
            "training_duration": round(duration_s, 1),
            "training_data_size": sum(len(split.train) for split in splits),
            "validation_data_size": sum(len(split.validation) for split in splits),
        },
        data_start=min(member.start for member in members),
        data_end=data_end,
        bar_count=sum(len(member.closes) for member in members),
        duration_s=duration_s,
        versions=library_versions(),
    )


def _read(histories: Iterable[History], config: ForecastConfig, progress: Callable[[Progress], None]) -> list[_Member]:
    members: list[_Member] = []
    bars_read = 0
    for symbol, bars in histories:
        if len(bars) < config.minimum_bars:
            continue
        if bars_read + len(bars) > config.base_bars:
            break
        bars_read += len(bars)
        progress(Progress(stage="features", fraction=0.1 * bars_read / config.base_bars))
        table = compute_features(bars, config, exchange=exchange_of(symbol))
        members.append(_Member(symbol, table, bars["close"], bars.index[0].date()))
    if not members:
        raise UntrainableError(f"The base model needs a symbol with at least {config.minimum_bars} bars; there is none.")
    return members


def _split_dates(members: Sequence[_Member], config: ForecastConfig) -> Seen:
    """End dates of training and validation, counted over the sessions of all symbols with the holdout sizes of one symbol."""
    sessions = np.unique(np.concatenate([member.table.dates[config.window - 1 :].to_numpy() for member in members]))
    validation, test = holdouts(len(sessions), config)
    ends = (sessions[-1 - test - validation], sessions[-1 - test])
    return Seen(*(pd.Timestamp(end).date() for end in ends))


def _evaluate(
    network: QuantileNetwork,
    members: Sequence[_Member],
    splits: Sequence[Split],
    config: ForecastConfig,
    progress: Callable[[Progress], None],
) -> tuple[ServingModel, Fit]:
    """The model fitted on the training rows and calibrated on the validation rows of all symbols, and its fit."""
    scaler = _fit(network, members, [split.train for split in splits], config, _stage("fitting", 0.1, config, progress))
    require_finite(network)
    trees = _fit_trees(members, [split.train for split in splits], config)
    onnx = to_onnx(network.weights, config)
    model = ServingModel(config=config, onnx=onnx, scaler=scaler, calibration=UNCALIBRATED, trees=trees)
    rows = _validation_rows(model, members, splits)
    return replace(model, calibration=fit_calibration(rows, config)), Fit(network.to_hdf5(), scaler, trees)


def _validation_rows(model: ServingModel, members: Sequence[_Member], splits: Sequence[Split]) -> ValidationRows:
    parts = [
        validation_rows(model, member.table, split.validation, exchange=exchange_of(member.symbol))
        for member, split in zip(members, splits, strict=True)
        if len(split.validation)
    ]
    columns = ("dates", "exchange", "target", "quantiles", "volatility")
    return ValidationRows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


def _fit(
    network: QuantileNetwork,
    members: Sequence[_Member],
    rows: Sequence[range],
    config: ForecastConfig,
    progress: Callable[[int], None],
) -> Scaler:
    """Fits on these rows of all symbols; returns the scaler of the fit."""
    used = [(member.table, each) for member, each in zip(members, rows, strict=True) if each and each.stop > config.window]
    scaler = scaler_of(np.concatenate([table.features[: each.stop] for table, each in used]))
    examples: Examples = joined([make_examples(table, each, scaler, config) for table, each in used])
    if len(examples) < config.base_batch:
        raise UntrainableError(f"The base model has {len(examples)} windows to fit on; {config.base_batch} are needed.")
    start_from_scratch(network, examples, config)
    epochs = network.epochs(examples, learning_rate=config.base_rate, decays_over=config.base_epochs)
    for epoch in islice(epochs, config.base_epochs):
        progress(epoch)
    return scaler


def _fit_trees(members: Sequence[_Member], rows: Sequence[range], config: ForecastConfig) -> bytes:
    """The ONNX model of trees fitted on these rows of all symbols."""
    parts = [(member.table, each) for member, each in zip(members, rows, strict=True) if each]
    return tree_graph.to_onnx(fit_trees(parts, config, threads=THREADS), config)


def _stage(name: str, begins: float, config: ForecastConfig, progress: Callable[[Progress], None]) -> Callable[[int], None]:
    """A callback that reports the epochs of a stage, which is a share of 0.4 of the training."""

    def report(epoch: int) -> None:
        share = begins + 0.4 * epoch / config.base_epochs
        progress(Progress(stage=name, fraction=share, epoch=epoch, epochs=config.base_epochs))

    return report


def _tested(
    model: ServingModel, members: Sequence[_Member], splits: Sequence[Split], config: ForecastConfig
) -> tuple[ServingModel, dict[str, Any]]:
    """The model and its metrics; if its median is worse than the last close on the test rows, the median weight becomes 0."""
    metrics = _measure(model, members, splits, config)
    if metrics["mase"] > 1:
        rows = _validation_rows(model, members, splits)
        model = replace(model, calibration=at_last_close(model.calibration, rows, config))
        metrics = _measure(model, members, splits, config)
    return model, metrics | {"median": model.calibration.median_facts}


def _measure(model: ServingModel, members: Sequence[_Member], splits: Sequence[Split], config: ForecastConfig) -> dict[str, Any]:
    """Metrics on the test rows of all symbols, with the same names as those of one symbol.

    Prices are relative to the last close, because currencies differ. Ratios and coverage are means over symbols, with the
    extreme values beside them.
    """
    scores, relative = [], []
    for member, split in zip(members, splits, strict=True):
        if len(split.test) >= config.minimum_holdout and not stands_still(member.table, split.test):
            backtest, _ = make_backtest(model, member.table, split.test)
            scores.append(measure(backtest, member.closes, config))
            shares = backtest[["actual_close", "q50"]].div(backtest["last_close"], axis=0)
            relative.append(shares.assign(as_of=backtest["as_of"]))
    if not scores:
        raise UntrainableError("The base model has no symbol with enough test sessions.")
    days = pd.concat(relative)
    actual, forecast = days["actual_close"].to_numpy(), days["q50"].to_numpy()
    moves = bool((forecast != 1).any())
    gain = pd.Series(np.abs(actual - 1) - np.abs(actual - forecast)).groupby(days["as_of"].to_numpy()).mean()
    return {
        **price_errors(actual, forecast),
        "naive": price_errors(actual, np.ones(len(actual))),
        "beats_naive_p": improvement_p(gain.to_numpy()) if moves else None,
        "directional_accuracy": directional_accuracy(actual, forecast, np.ones(len(actual))),
        **_over_symbols(scores, f"coverage_{round(config.interval_level * 100)}"),
        "symbols": len(scores),
        "test_size": len(days),
    }


def _horizons(members: Sequence[_Member], through: date, config: ForecastConfig) -> Horizons | None:
    """Horizons fitted on outcomes up to this day."""
    day = np.datetime64(through)
    known = [(member.table, int(np.searchsorted(member.table.dates.to_numpy(), day, side="right")) - 1) for member in members]
    return fit_horizons([(table, last) for table, last in known if last >= 0], config)


def _measure_horizons(
    horizons: Horizons | None, members: Sequence[_Member], splits: Sequence[Split], config: ForecastConfig
) -> dict[str, dict[str, Any]]:
    """By horizon, the number of forecasts on the test rows and the means of their figures over symbols."""
    if horizons is None:
        return {}
    measured = [
        measure_horizons(horizons, member.table, split.test, member.closes, config)[0]
        for member, split in zip(members, splits, strict=True)
        if len(split.test) and not stands_still(member.table, split.test)
    ]
    coverage = f"coverage_{round(config.interval_level * 100)}"
    summary = {}
    for sessions in sorted({sessions for each in measured for sessions in each}, key=int):
        each = [metrics[sessions] for metrics in measured if sessions in metrics]
        summary[sessions] = {
            "forecasts": sum(one["forecasts"] for one in each),
            "pinball_ratio": float(np.exp(np.mean([np.log(one["pinball_ratio"]) for one in each]))),
            coverage: float(np.mean([one[coverage] for one in each])),
        }
    return summary


def _over_symbols(scores: Sequence[dict[str, Any]], coverage: str) -> dict[str, float]:
    ratios, relative_maes, covered = (np.array([score[name] for score in scores]) for name in ("pinball_ratio", "mase", coverage))
    return {
        "mase": float(relative_maes.mean()),
        "pinball_ratio": float(np.exp(np.log(ratios).mean())),
        "worst_pinball_ratio": float(ratios.max()),
        coverage: float(covered.mean()),
        f"least_{coverage}": float(covered.min()),
        f"most_{coverage}": float(covered.max()),
    }
