"""Models, and the files of a version's folder that hold them; see verified.py.

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
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
from forecasting.pipeline.serving.verified import (
    ArtifactFile,
    file_of,
    flush_folder,
    read_bytes,
    verified,
    verified_json,
    write_durably,
)

ONNX, WEIGHTS, META = "model.onnx", "model.weights.h5", "meta.json"
BACKTEST = "backtest.csv"  # only in versions of a symbol
TREES, EARLIER, EARLIER_TREES = "trees.onnx", "earlier.weights.h5", "earlier.trees.onnx"  # only in bases
LEADS = "leads.json"  # only in bases, and not in all
RATES, LIVE = "rates.json", "live.json"  # the same
HORIZONS = "horizons.json"  # not in versions of earlier releases
BASE_FILES = (ONNX, TREES, WEIGHTS, EARLIER, EARLIER_TREES, META)
LARGEST_FILE = 64 * 2**20  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingModel:
    """Everything that a forecast needs."""

    config: ForecastConfig
    onnx: bytes
    scaler: Scaler
    calibration: Calibration
    trees: bytes | None = None  # ONNX; None in versions without a base, and in those of earlier releases
    horizons: Horizons | None = None  # None in versions of earlier releases, and if there were too few bars


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedModel(ServingModel):
    """A finished training of one symbol."""

    symbol: str
    weights: bytes  # of a .weights.h5 file
    metrics: dict[str, Any]  # out of sample; finite, JSON-compatible
    backtest: pd.DataFrame  # per test row: as_of, target_date, last_close, actual_close, q05 ... q95 (units of price)
    from_base: bool  # whether network and trees are those of a base model
    data_start: date
    data_end: date
    bar_count: int
    epochs: int  # of the fit of the served weights; 0 if they are the base's
    duration_s: float
    versions: dict[str, str]  # of the libraries, by name

    @property
    def contents(self) -> dict[str, bytes]:
        """The files of its version, by name."""
        meta = _meta(self, ("symbol", "from_base", "epochs"))
        backtest = self.backtest.to_csv(index=False, date_format="%Y-%m-%d").encode()
        files = {ONNX: self.onnx, WEIGHTS: self.weights, META: _json(meta), BACKTEST: backtest}
        return files | _horizons_file(served=self.horizons)


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights, the scaler of their fit, and trees fitted on the same rows."""

    weights: bytes  # of a .weights.h5 file
    scaler: Scaler
    trees: bytes  # ONNX


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BaseModel(ServingModel):
    """A model of many symbols. It serves symbols without a version of their own, and their trainings start from it."""

    trees: bytes
    weights: bytes  # of a .weights.h5 file
    earlier: Fit  # fitted only on the bars described by `seen`
    earlier_horizons: Horizons | None = None  # fitted only on bars up to `seen.calibrated_through`
    seen: Seen  # data of `earlier` and of the calibration
    symbols: tuple[str, ...]
    metrics: dict[str, Any]  # out of sample, over all symbols
    data_start: date
    data_end: date
    bar_count: int
    duration_s: float
    versions: dict[str, str]
    command: str = ""  # command line that reproduces it, if it was trained from a terminal
    trained_at: datetime | None = None  # tz-aware; None in folders of a release that did not record it
    leads: LeadModel | None = None  # used for all symbols, those with a version of their own included
    rates: BaseRates | None = None  # the same
    live: LiveModel | None = None  # the same

    def fits(self, config: ForecastConfig) -> bool:
        """Whether a training with `config` can start from it."""
        return self.config.has_network_of(config)

    @property
    def contents(self) -> dict[str, bytes]:
        """The files of its version, by name."""
        meta = _meta(self, ("symbols", "command")) | {
            "fitted_through": self.seen.fitted_through.isoformat(),
            "calibrated_through": self.seen.calibrated_through.isoformat(),
            "earlier_scaler": asdict(self.earlier.scaler),
            "trained_at": self.trained_at.isoformat() if self.trained_at else None,
        }
        shared, earlier = {ONNX: self.onnx, TREES: self.trees}, {EARLIER: self.earlier.weights, EARLIER_TREES: self.earlier.trees}
        extra = {LEADS: leads_file(self.leads)} if self.leads else {}
        extra |= {RATES: rates_file(self.rates)} if self.rates else {}
        extra |= {LIVE: live_file(self.live)} if self.live else {}
        horizons = _horizons_file(served=self.horizons, earlier=self.earlier_horizons)
        return shared | {WEIGHTS: self.weights, META: _json(meta)} | earlier | horizons | extra


def write(folder: Path, model: TrainedModel | BaseModel) -> dict[str, ArtifactFile]:
    """Writes the model's files to the existing, empty `folder` and flushes them to disk. Raises OSError."""
    contents = model.contents
    for name, content in contents.items():
        write_durably(folder / name, content)
    flush_folder(folder)
    return {name: file_of(content) for name, content in contents.items()}


def read(folder: Path, files: Mapping[str, ArtifactFile]) -> ServingModel:
    """The model to serve. Raises ArtifactError if model.onnx, meta.json or the trees, if it has any, do not match `files`."""
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


def live_file(live: LiveModel) -> bytes:
    """The content of live.json."""
    return _json(live.to_dict())


def rates_file(rates: BaseRates) -> bytes:
    """The content of rates.json."""
    return _json(rates.as_json())


def leads_file(leads: LeadModel) -> bytes:
    """The content of leads.json."""
    return _json(leads.as_json())


def recorded(folder: Path) -> dict[str, ArtifactFile]:
    """Current hashes and sizes of a base's files, for a folder without a record in the database. Raises ArtifactError."""
    names = (*BASE_FILES, *(name for name in (HORIZONS, LEADS, RATES, LIVE) if (folder / name).exists()))
    contents = {name: read_bytes(folder / name, limit=LARGEST_FILE) for name in names}
    return {name: file_of(content) for name, content in contents.items()}


def read_backtest(folder: Path, files: Mapping[str, ArtifactFile]) -> pd.DataFrame:
    """The stored backtest. Raises ArtifactError if backtest.csv does not match `files`."""
    content = io.BytesIO(verified(folder, BACKTEST, files))
    return pd.read_csv(content, parse_dates=["as_of", "target_date"])


def _meta(model: TrainedModel | BaseModel, names: tuple[str, ...]) -> dict[str, Any]:
    common = ("bar_count", "duration_s", "metrics", "versions")
    return {
        "config": model.config.to_dict(),
        "features": list(model.config.features),
        "tree_columns": list(tree_columns(model.config)) if model.trees else [],
        "scaler": asdict(model.scaler),
        "calibration": asdict(model.calibration),
        "data_start": model.data_start.isoformat(),
        "data_end": model.data_end.isoformat(),
        **{name: getattr(model, name) for name in (*names, *common)},
    }


def _json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _horizons_file(**fits: Horizons | None) -> dict[str, bytes]:
    """The file of these fits, by name; no file if there are none."""
    present = {name: fit.to_dict() for name, fit in fits.items() if fit}
    return {HORIZONS: _json(present)} if present else {}


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
