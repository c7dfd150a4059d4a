"""Forecasts with a trained model: bars to quantiles of the next and later closes. The only file that imports ONNX Runtime."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

from forecasting.pipeline.model.adaptation import stretched
from forecasting.pipeline.model.distribution import TAIL_LEVEL, probability_up, with_tails
from forecasting.pipeline.model.features import Array, FeatureTable, compute_features
from forecasting.pipeline.model.horizons import Horizons
from forecasting.pipeline.model.windows import TooFewBarsError, make_windows
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.artifacts import ArtifactFile, ServingModel


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
        self._model = model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # From verified bytes instead of a path, so that the model cannot load other files.
        self._session = onnxruntime.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    @classmethod
    def load(cls, folder: Path, files: Mapping[str, ArtifactFile]) -> "Forecaster":
        """The forecaster of a version's folder. Raises ArtifactError."""
        return cls(artifacts.read(folder, files))

    @property
    def bars_needed(self) -> int:
        """Number of last bars that a forecast depends on; more of them change nothing."""
        return self._model.config.warm_up + self._model.config.window

    @property
    def first_factor(self) -> float:
        """Factor of the online calibration before the first outcome of a live forecast."""
        return self._model.calibration.factor

    @property
    def horizons(self) -> Horizons | None:
        """Forecasts of several sessions ahead; None if the version has none."""
        return self._model.horizons

    @property
    def levels(self) -> Array:
        """Quantile levels of the network, ascending. They lack the tails."""
        return np.array(self._model.config.quantile_levels)

    @property
    def interval_levels(self) -> tuple[float, float]:
        """Lower and upper level of the published interval."""
        return self._model.config.interval_levels

    @property
    def interval_level(self) -> float:
        """Probability mass of the published interval."""
        return self._model.config.interval_level

    def forecast(self, bars: pd.DataFrame, *, factor: float = 1.0) -> QuantileForecast:
        """Forecast of the next session from the last `bars_needed` of `bars` (contract frame, see bars.py).

        `factor`: of the online calibration (see adaptation.py). Raises TooFewBarsError.
        """
        return self.forecasts(bars, factors={1: factor})[0]

    def forecasts(self, bars: pd.DataFrame, *, factors: Mapping[int, float]) -> list[QuantileForecast]:
        """Forecasts of the next session and of those horizons of the model that have a factor, nearest first; see `forecast`."""
        if len(bars) < self.bars_needed:
            raise TooFewBarsError("This history", found=len(bars), needed=self.bars_needed)
        table = compute_features(bars.iloc[-self.bars_needed :], self._model.config)
        last = range(len(table.dates) - 1, len(table.dates))
        returns = {1: (self.tailed_levels, self.with_tails(self.forecast_rows(table, last))[0])}
        if horizons := self._model.horizons:
            further = horizons.quantiles(table, last, self._model.config)
            returns |= {sessions: (horizons.quantile_levels, further[sessions][0]) for sessions in further if sessions in factors}
        return [
            self._in_prices(sessions, levels, stretched(quantiles, factors[sessions]), table)
            for sessions, (levels, quantiles) in returns.items()
        ]

    @property
    def tailed_levels(self) -> tuple[float, ...]:
        """Quantile levels of a forecast of the next session: those of the network, and of the tails if the version has them."""
        levels = self._model.config.quantile_levels
        return levels if self._model.calibration.tail is None else (TAIL_LEVEL, *levels, 1 - TAIL_LEVEL)

    def with_tails(self, quantiles: Array) -> Array:
        """Quantiles (rows, levels) of the next session, with those of the tails if the version has them."""
        return quantiles if (tail := self._model.calibration.tail) is None else with_tails(quantiles, tail)

    def forecast_rows(self, table: FeatureTable, rows: range) -> Array:
        """Calibrated quantiles of the next session's log return at each of `rows`, ascending, (rows, levels)."""
        quantiles = self._model.calibration.apply(self.standardised_quantiles(table, rows))
        return quantiles * table.volatility[rows.start : rows.stop, None]

    def standardised_quantiles(self, table: FeatureTable, rows: range) -> Array:
        """The network's quantiles of the target at each of `rows`, before calibration, (rows, levels).

        Sorted, which never increases the pinball loss: Chernozhukov, Fernandez-Val & Galichon, Quantile and Probability Curves
        Without Crossing (2010).
        """
        windows = make_windows(table, rows, self._model.scaler, self._model.config)
        # One window at a time, so that a forecast is bit-identical in any batch.
        outputs = [self._session.run(None, {self._input: windows[row : row + 1]})[0] for row in range(len(rows))]
        return np.sort(np.concatenate(outputs).astype(np.float64), axis=1)

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
