"""Forecasts with a trained model: bars to quantiles of the next and later closes. The only file that imports ONNX Runtime."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

from forecasting.pipeline.model.adaptation import stretched
from forecasting.pipeline.model.distribution import TAIL_LEVEL, probability_up, with_tails
from forecasting.pipeline.model.features import Array, FeatureTable, compute_features, tree_inputs
from forecasting.pipeline.model.leads import Lead, own_returns
from forecasting.pipeline.model.tree_columns import Float32, bars_remembered
from forecasting.pipeline.model.windows import TooFewBarsError, make_windows
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.trained import ServingModel
from forecasting.pipeline.serving.verified import ArtifactFile
from forecasting.prices.markets import WEEKDAYS

BASES = 16  # whose trees are kept in memory: the versions of many symbols share them


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileForecast:
    """A forecast of the close `horizon` sessions after `as_of`, in units of price."""

    horizon: int
    as_of: date
    last_close: float
    quantiles: dict[str, float]  # by level: "0.01" ... "0.99", ascending; without these two if the version has no tails
    price: float  # the median
    interval_low: float
    interval_high: float
    interval_level: float  # probability that the close lies in the interval
    probability_up: float  # probability that the close is above last_close


class Forecaster:
    """Forecasts of one model. Trainings evaluate networks with it as well, so that metrics match the served forecasts."""

    def __init__(self, model: ServingModel) -> None:
        self._config, self._scaler, self._calibration = model.config, model.scaler, model.calibration
        self._network = _session(model.onnx)
        self._trees = _shared_session(model.trees) if model.trees else None
        self._input = self._network.get_inputs()[0].name
        self.horizons = model.horizons  # forecasts of several sessions ahead; None if the version has none

    @classmethod
    def load(cls, folder: Path, files: Mapping[str, ArtifactFile]) -> "Forecaster":
        """The forecaster of a version's folder. Raises ArtifactError."""
        return cls(artifacts.read(folder, files))

    @property
    def bars_needed(self) -> int:
        """Smallest number of bars that a forecast can be made from."""
        return self._config.warm_up + self._config.window

    @property
    def bars_used(self) -> int:
        """Number of last bars that a forecast depends on, if there are so many; more of them change nothing."""
        return max(self.bars_needed, bars_remembered(self._config)) if self._trees else self.bars_needed

    @property
    def first_factor(self) -> float:
        """Factor of the online calibration before the first outcome of a live forecast."""
        return self._calibration.factor

    @property
    def levels(self) -> Array:
        """Quantile levels of the experts, ascending. They lack the tails."""
        return np.array(self._config.quantile_levels)

    @property
    def interval_levels(self) -> tuple[float, float]:
        """Lower and upper level of the published interval."""
        return self._config.interval_levels

    @property
    def interval_level(self) -> float:
        """Probability mass of the published interval."""
        return self._config.interval_level

    def forecast(
        self, bars: pd.DataFrame, *, exchange: str = WEEKDAYS, factor: float = 1.0, lead: Lead | None = None
    ) -> QuantileForecast:
        """Forecast of the next session from the last `bars_used` of `bars` (contract frame, see bars.py).

        `exchange`: whose calendar tells the next session. `factor`: of the online calibration (see adaptation.py), which each basis
        has of its own. `lead`: what the forecast knows of leads (see leads.py); it must be about the session after the last bar.
        Raises TooFewBarsError.
        """
        return self._next(self._table(bars, exchange), factor, lead)

    def forecasts(self, bars: pd.DataFrame, *, exchange: str = WEEKDAYS, factors: Mapping[int, float]) -> list[QuantileForecast]:
        """Forecasts of the next session and of those horizons of the model that have a factor, nearest first; see `forecast`."""
        table = self._table(bars, exchange)
        found = [self._next(table, factors[1])]
        if horizons := self.horizons:
            further = horizons.quantiles(table, range(len(table.dates) - 1, len(table.dates)), self._config)
            found += [
                self._in_prices(sessions, horizons.quantile_levels, stretched(quantiles[0], factors[sessions]), table)
                for sessions, quantiles in further.items()
                if sessions in factors
            ]
        return found

    @property
    def tailed_levels(self) -> tuple[float, ...]:
        """Quantile levels of a forecast of the next session: those of the experts, and of the tails if the version has them."""
        levels = self._config.quantile_levels
        return levels if self._calibration.tail is None else (TAIL_LEVEL, *levels, 1 - TAIL_LEVEL)

    def with_tails(self, quantiles: Array) -> Array:
        """Quantiles (rows, levels) of the next session, with those of the tails if the version has them."""
        return quantiles if (tail := self._calibration.tail) is None else with_tails(quantiles, tail)

    def forecast_rows(self, table: FeatureTable, rows: range) -> Array:
        """Calibrated quantiles of the next session's log return at each of `rows`, ascending, (rows, levels)."""
        quantiles = self._calibration.apply(self.standardised_quantiles(table, rows))
        return quantiles * table.volatility[rows.start : rows.stop, None]

    def standardised_quantiles(self, table: FeatureTable, rows: range) -> Array:
        """The weighted mean of the experts' quantiles of the target at each of `rows`, before calibration, (rows, levels).

        Those of the network are sorted, which never increases the pinball loss: Chernozhukov, Fernandez-Val & Galichon, Quantile
        and Probability Curves Without Crossing (2010).
        """
        quantiles = np.sort(_run(self._network, self._input, make_windows(table, rows, self._scaler, self._config)), axis=1)
        if self._trees is None:
            return quantiles
        by_trees = _run(self._trees, "columns", tree_inputs(table, rows, self._config))
        return (1 - self._config.tree_share) * quantiles + self._config.tree_share * by_trees

    def _table(self, bars: pd.DataFrame, exchange: str) -> FeatureTable:
        if len(bars) < self.bars_needed:
            raise TooFewBarsError("This history", found=len(bars), needed=self.bars_needed)
        return compute_features(bars.iloc[-self.bars_used :], self._config, exchange=exchange, last=self._config.window)

    def _next(self, table: FeatureTable, factor: float, lead: Lead | None = None) -> QuantileForecast:
        """The forecast of the session after the last row of `table`."""
        last = range(len(table.dates) - 1, len(table.dates))
        quantiles = self.forecast_rows(table, last)
        if lead is not None:
            volatility = table.volatility[last.start]
            quantiles = lead.apply(quantiles / volatility, own_returns(table, self._config)[last.start :]) * volatility
        return self._in_prices(1, self.tailed_levels, stretched(self.with_tails(quantiles)[0], factor), table)

    def _in_prices(self, horizon: int, levels: tuple[float, ...], log_returns: Array, table: FeatureTable) -> QuantileForecast:
        """The forecast from the last row of `table`."""
        last_close = float(table.close[-1])
        prices = dict(zip(levels, (last_close * np.exp(log_returns)).tolist(), strict=True))
        low, high = self.interval_levels
        return QuantileForecast(
            horizon=horizon,
            as_of=table.dates[-1].date(),
            last_close=last_close,
            quantiles={str(level): price for level, price in prices.items()},
            price=prices[0.5],
            interval_low=prices[low],
            interval_high=prices[high],
            interval_level=self.interval_level,
            probability_up=probability_up(log_returns, levels),
        )


def _session(onnx: bytes) -> onnxruntime.InferenceSession:
    """From verified bytes instead of a path, so that the model cannot load other files."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would reserve 1 MB per model, and is not faster for one row
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


_shared_session = functools.lru_cache(maxsize=BASES)(_session)


def _run(session: onnxruntime.InferenceSession, name: str, inputs: Float32) -> Array:
    """Outputs (rows, levels). One row at a time, so that a forecast is bit-identical in any batch."""
    outputs = [session.run(None, {name: inputs[row : row + 1]})[0] for row in range(len(inputs))]
    return np.concatenate(outputs).astype(np.float64)
