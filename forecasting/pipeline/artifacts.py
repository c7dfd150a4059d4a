"""One version's folder: written once and flushed to disk, read only after its size and SHA-256 have been checked.

model.onnx serves, model.weights.h5 can start another training, meta.json holds the plain numbers that belong to the weights
and where they come from, backtest.csv the out-of-sample forecasts. Nothing is unpickled.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.pipeline.calibration import Calibration
from forecasting.pipeline.config import FEATURES, ForecastConfig
from forecasting.pipeline.windows import Scaler

ONNX, WEIGHTS, META, BACKTEST = FILES = ("model.onnx", "model.weights.h5", "meta.json", "backtest.csv")


class ArtifactError(Exception):
    """A file of a version's folder cannot be used; the message names the file and what is wrong, not where it lies."""


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """What a file must be, to be used."""

    sha256: str  # hexadecimal
    size: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingModel:
    """What a forecast needs."""

    config: ForecastConfig
    onnx: bytes
    scaler: Scaler
    calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedModel(ServingModel):
    """A finished training."""

    symbol: str
    weights: bytes  # of a .weights.h5 file
    metrics: dict[str, Any]  # out of sample; finite, as JSON can hold them
    backtest: pd.DataFrame  # per test row: as_of, target_date, last_close, actual_close, q05 ... q95 (units of price)
    data_start: date
    data_end: date
    bar_count: int
    epochs: int  # that the served weights were fitted for
    duration_s: float
    versions: dict[str, str]  # of the libraries, by name


def write(folder: Path, model: TrainedModel) -> dict[str, ArtifactFile]:
    """Writes all of `FILES` into the existing, empty `folder` and flushes them to disk. Raises OSError."""
    contents = {
        ONNX: model.onnx,
        WEIGHTS: model.weights,
        META: json.dumps(_meta(model), indent=1, ensure_ascii=False, allow_nan=False).encode(),
        BACKTEST: model.backtest.to_csv(index=False, date_format="%Y-%m-%d").encode(),
    }
    for name, content in contents.items():
        _write_durably(folder / name, content)
    flush_folder(folder)
    return {name: ArtifactFile(hashlib.sha256(content).hexdigest(), len(content)) for name, content in contents.items()}


def read(folder: Path, files: Mapping[str, ArtifactFile]) -> ServingModel:
    """The model to serve. Raises ArtifactError if model.onnx or meta.json is not exactly what `files` records."""
    onnx, meta = (_verified(folder, name, files) for name in (ONNX, META))
    try:
        return _serving_model(onnx, json.loads(meta))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{META} is of another release: {error}") from error


def read_backtest(folder: Path, files: Mapping[str, ArtifactFile]) -> pd.DataFrame:
    """The backtest as it was written. Raises ArtifactError if backtest.csv is not exactly what `files` records."""
    content = io.BytesIO(_verified(folder, BACKTEST, files))
    return pd.read_csv(content, parse_dates=["as_of", "target_date"])


def _meta(model: TrainedModel) -> dict[str, Any]:
    return {
        "symbol": model.symbol,
        "config": model.config.to_dict(),
        "features": list(FEATURES),
        "scaler": asdict(model.scaler),
        "calibration": asdict(model.calibration),
        "data_start": model.data_start.isoformat(),
        "data_end": model.data_end.isoformat(),
        "bar_count": model.bar_count,
        "epochs": model.epochs,
        "duration_s": model.duration_s,
        "metrics": model.metrics,
        "versions": model.versions,
    }


def _serving_model(onnx: bytes, meta: dict[str, Any]) -> ServingModel:
    if meta["features"] != list(FEATURES):
        raise ValueError(f"its features are {', '.join(meta['features'])}")
    return ServingModel(
        config=ForecastConfig.from_dict(meta["config"]),
        onnx=onnx,
        scaler=Scaler(mean=tuple(meta["scaler"]["mean"]), spread=tuple(meta["scaler"]["spread"])),
        calibration=Calibration(**meta["calibration"]),
    )


def _verified(folder: Path, name: str, files: Mapping[str, ArtifactFile]) -> bytes:
    """The file's bytes, once they are known to be the recorded ones."""
    if name not in files:
        raise ArtifactError(f"No hash of {name} is recorded.")
    content = _read_bytes(folder / name, limit=files[name].size + 1)
    if len(content) != files[name].size:
        found = "more" if len(content) > files[name].size else f"only {len(content)}"
        raise ArtifactError(f"{name} should have {files[name].size} bytes but has {found}.")
    if hashlib.sha256(content).hexdigest() != files[name].sha256:
        raise ArtifactError(f"{name} has been changed: its SHA-256 is not the recorded one.")
    return content


def _read_bytes(path: Path, *, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError as error:
        raise ArtifactError(f"{path.name} is missing.") from error
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be read: {error.strerror}.") from error


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Makes the names of new files survive a power failure, as fsync of a file does for its bytes."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
