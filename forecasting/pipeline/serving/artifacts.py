"""The files of a version's folder, which hold its model; see verified.py.

- model.onnx: the model for serving.
- model.weights.h5: the weights of model.onnx as Keras can load them.
- meta.json: config, scaler, calibration, metrics and origin.
- leads.json (base only, if it has any): coefficients of the lead model. It can be replaced without training the base again.
- rates.json (base only, if it has any): base rates of rising days. It can be replaced as well.
- live.json (base only, if it has any): coefficients of the live model. It can be replaced as well.
- backtest.csv (symbol's version only): out-of-sample forecasts.
- horizons.json (not in versions of earlier releases): the forecasts of several sessions ahead.
- trees.onnx (base only): the trees, which the versions of symbols share. Their record of files says in which folder it is.
- earlier.weights.h5, earlier.trees.onnx (base only): weights and trees fitted on earlier bars only. The base was evaluated with
  them, and a symbol's version that has its network can be evaluated on unseen data.

Nothing is unpickled.
"""

import io
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.base_rates import BaseRates
from forecasting.pipeline.model.calibration import Calibration
from forecasting.pipeline.model.horizons import Horizons
from forecasting.pipeline.model.leads import LeadModel
from forecasting.pipeline.model.live import LiveModel
from forecasting.pipeline.model.tree_columns import tree_columns
from forecasting.pipeline.model.windows import Scaler, Seen
from forecasting.pipeline.serving.trained import (
    BACKTEST,
    EARLIER,
    EARLIER_TREES,
    HORIZONS,
    LEADS,
    LIVE,
    META,
    ONNX,
    RATES,
    TREES,
    WEIGHTS,
    BaseModel,
    Fit,
    ServingModel,
    TrainedModel,
)
from forecasting.pipeline.serving.verified import (
    ArtifactFile,
    file_of,
    flush_folder,
    read_bytes,
    verified,
    verified_json,
    write_durably,
)

BASE_FILES = (ONNX, TREES, WEIGHTS, EARLIER, EARLIER_TREES, META)
LARGEST_FILE = 64 * 2**20  # bytes


def write(folder: Path, model: TrainedModel | BaseModel) -> dict[str, ArtifactFile]:
    """Writes the model's files to the existing, empty `folder` and flushes them to disk. Raises OSError."""
    contents = model.contents
    for name, content in contents.items():
        write_durably(folder / name, content)
    flush_folder(folder)
    return {name: file_of(content) for name, content in contents.items()}


def read(folder: Path, files: Mapping[str, ArtifactFile]) -> ServingModel:
    """The model to serve. Raises ArtifactError if model.onnx, meta.json, or trees or horizons that it has do not match `files`."""
    return ServingModel(
        onnx=verified(folder, ONNX, files),
        trees=verified(folder, TREES, files) if TREES in files else None,
        horizons=_read_horizons(folder, files).get("served"),
        **verified_json(folder, META, files, _serving),
    )


def read_base(folder: Path, files: Mapping[str, ArtifactFile]) -> BaseModel:
    """The complete base model. Raises ArtifactError if any of its files does not match `files`."""
    onnx, trees, weights, earlier, earlier_trees = (verified(folder, name, files) for name in BASE_FILES if name != META)
    horizons = _read_horizons(folder, files)
    scaler, fields = verified_json(folder, META, files, lambda meta: (_scaler(meta["earlier_scaler"]), _base(meta)))
    return BaseModel(
        horizons=horizons.get("served"),
        earlier_horizons=horizons.get("earlier"),
        onnx=onnx,
        trees=trees,
        weights=weights,
        earlier=Fit(earlier, scaler, earlier_trees),
        leads=read_leads(folder, files),
        rates=read_rates(folder, files),
        live=read_live(folder, files),
        **fields,
    )


def read_leads(folder: Path, files: Mapping[str, ArtifactFile]) -> LeadModel | None:
    """The lead model of a base; None if it has none. Raises ArtifactError if leads.json does not match `files`."""
    return verified_json(folder, LEADS, files, LeadModel.from_json) if LEADS in files else None


def read_rates(folder: Path, files: Mapping[str, ArtifactFile]) -> BaseRates | None:
    """The base rates of a base; None if it has none. Raises ArtifactError if rates.json does not match `files`."""
    return verified_json(folder, RATES, files, BaseRates.from_json) if RATES in files else None


def read_live(folder: Path, files: Mapping[str, ArtifactFile]) -> LiveModel | None:
    """The live model of a base; None if it has none. Raises ArtifactError if live.json does not match `files`."""
    return verified_json(folder, LIVE, files, LiveModel.from_dict) if LIVE in files else None


def recorded(folder: Path) -> dict[str, ArtifactFile]:
    """Current hashes and sizes of a base's files, for a folder without a record in the database. Raises ArtifactError."""
    names = (*BASE_FILES, *(name for name in (HORIZONS, LEADS, RATES, LIVE) if (folder / name).exists()))
    contents = {name: read_bytes(folder / name, limit=LARGEST_FILE) for name in names}
    return {name: file_of(content) for name, content in contents.items()}


def read_backtest(folder: Path, files: Mapping[str, ArtifactFile]) -> pd.DataFrame:
    """The stored backtest. Raises ArtifactError if backtest.csv does not match `files`."""
    content = io.BytesIO(verified(folder, BACKTEST, files))
    return pd.read_csv(content, parse_dates=["as_of", "target_date"])


def _read_horizons(folder: Path, files: Mapping[str, ArtifactFile]) -> dict[str, Horizons]:
    """The fits of its file, by name; none if the version has no such file."""
    if HORIZONS not in files:
        return {}

    def parse(fits: dict[str, Any]) -> dict[str, Horizons]:
        return {name: Horizons.from_dict(values) for name, values in fits.items()}

    return verified_json(folder, HORIZONS, files, parse)


def _serving(meta: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ServingModel from meta.json."""
    config = ForecastConfig.from_dict(meta["config"])
    if meta["features"] != list(config.features):
        raise ValueError(f"its features are {', '.join(meta['features'])}")
    if (columns := meta.get("tree_columns")) and columns != list(tree_columns(config)):
        raise ValueError(f"the columns of its trees are {', '.join(columns)}")
    return {"config": config, "scaler": _scaler(meta["scaler"]), "calibration": Calibration.from_dict(meta["calibration"])}


def _base(meta: dict[str, Any]) -> dict[str, Any]:
    """The fields of a BaseModel from meta.json."""
    return _serving(meta) | {
        "seen": Seen(*(date.fromisoformat(meta[name]) for name in ("fitted_through", "calibrated_through"))),
        "symbols": tuple(meta["symbols"]),
        "data_start": date.fromisoformat(meta["data_start"]),
        "data_end": date.fromisoformat(meta["data_end"]),
        "trained_at": datetime.fromisoformat(moment) if (moment := meta.get("trained_at")) else None,
        **{name: meta[name] for name in ("metrics", "bar_count", "duration_s", "versions", "command")},
    }


def _scaler(values: dict[str, Any]) -> Scaler:
    return Scaler(mean=tuple(values["mean"]), spread=tuple(values["spread"]))
