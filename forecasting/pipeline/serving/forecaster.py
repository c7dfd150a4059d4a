"""Forecasts with a trained model: bars to quantiles of the next close. The only file that imports ONNX Runtime."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

from forecasting.pipeline.model.adaptation import stretched
from forecasting.pipeline.model.calibration import probability_up
from forecasting.pipeline.model.features import Array, FeatureTable, compute_features
from forecasting.pipeline.model.leads import Lead, own_returns
from forecasting.pipeline.model.windows import TooFewBarsError, make_windows
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.artifacts import ArtifactFile, ServingModel


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileForecast:
    """A forecast of the close of the session after `as_of`, in units of price."""

    as_of: date
    last_close: float
    quantiles: dict[str, float]  # by level: "0.05" ... "0.95", ascending
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
    def levels(self) -> Array:
        """Quantile levels, ascending."""
        return np.array(self._model.config.quantile_levels)

    @property
    def interval_levels(self) -> tuple[float, float]:
        """Lower and upper level of the published interval."""
        return self._model.config.interval_levels

    @property
    def interval_level(self) -> float:
        """Probability mass of the published interval."""
        return self._model.config.interval_level

    def forecast(self, bars: pd.DataFrame, *, factor: float = 1.0, lead: Lead | None = None) -> QuantileForecast:
        """Forecast from the last `bars_needed` of `bars` (contract frame, see bars.py); raises TooFewBarsError.

        `factor`: of the online calibration (see adaptation.py), which each basis has of its own. `lead`: what the forecast knows
        of leads (see leads.py); it must be about the session after the last bar.
        """
        if len(bars) < self.bars_needed:
            raise TooFewBarsError("This history", found=len(bars), needed=self.bars_needed)
        table = compute_features(bars.iloc[-self.bars_needed :], self._model.config)
        last = len(table.dates) - 1
        rows = self.forecast_rows(table, range(last, last + 1))
        if lead is not None:
            rows = lead.apply(rows / table.volatility[last], own_returns(table, self._model.config)[last:]) * table.volatility[last]
        log_returns = stretched(rows[0], factor)
        return self._in_prices(log_returns, as_of=table.dates[last].date(), last_close=float(table.close[last]))

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

    def _in_prices(self, log_returns: Array, *, as_of: date, last_close: float) -> QuantileForecast:
        config = self._model.config
        prices = dict(zip(config.quantile_levels, (last_close * np.exp(log_returns)).tolist(), strict=True))
        low, high = config.interval_levels
        return QuantileForecast(
            as_of=as_of,
            last_close=last_close,
            quantiles={str(level): price for level, price in prices.items()},
            price=prices[0.5],
            interval_low=prices[low],
            interval_high=prices[high],
            interval_level=config.interval_level,
            probability_up=probability_up(log_returns, np.array(config.quantile_levels)),
        )
