"""Trained models, and the contents of their files; artifacts.py says what each file is."""

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime
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

ONNX, WEIGHTS, META = "model.onnx", "model.weights.h5", "meta.json"
BACKTEST = "backtest.csv"  # only in versions of a symbol
TREES, EARLIER, EARLIER_TREES = "trees.onnx", "earlier.weights.h5", "earlier.trees.onnx"  # only in bases
LEADS = "leads.json"  # only in bases, and not in all
RATES, LIVE = "rates.json", "live.json"  # the same
HORIZONS = "horizons.json"  # not in versions of earlier releases


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


def live_file(live: LiveModel) -> bytes:
    """The content of live.json."""
    return _json(live.to_dict())


def rates_file(rates: BaseRates) -> bytes:
    """The content of rates.json."""
    return _json(rates.as_json())


def leads_file(leads: LeadModel) -> bytes:
    """The content of leads.json."""
    return _json(leads.as_json())


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
