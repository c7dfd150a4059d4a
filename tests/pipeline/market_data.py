"""Test data of the pipeline: small seeded bars, a small config, and an ONNX network made without Keras."""

from datetime import date, timedelta
from functools import cache

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.calibration import Calibration
from forecasting.pipeline.model.features import compute_features
from forecasting.pipeline.model.horizons import Horizons, fit_horizons
from forecasting.pipeline.model.windows import Scaler
from forecasting.pipeline.serving.trained import ServingModel
from forecasting.prices.bars import PRICES
from forecasting.prices.calendars import sessions

TINY = ForecastConfig(
    window=10,
    volatility_sessions=20,
    volume_sessions=5,
    look_backs=(1, 2, 5, 10),
    units=4,
    base_batch=16,
    base_epochs=3,
    base_rate=0.01,
    trees=12,
    tree_leaves=4,
    tree_rows=20,
    batch_size=16,
    learning_rate=0.01,
    max_epochs=8,
    patience=2,
    minimum_holdout=20,
    minimum_training_windows=60,
)


def simulated_bars(count: int = 200, *, seed: int = 1, volatility: float = 0.02) -> pd.DataFrame:
    """A random walk of `count` bars that keeps the bars contract."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(volatility * rng.standard_normal(count)))
    opening = close * np.exp(0.5 * volatility * rng.standard_normal(count))
    reach = np.exp(0.5 * volatility * np.abs(rng.standard_normal((2, count))))
    return pd.DataFrame(
        {
            "open": opening,
            "high": np.maximum(opening, close) * reach[0],
            "low": np.minimum(opening, close) / reach[1],
            "close": close,
            "volume": rng.integers(1_000, 9_000, count).astype(float),
        },
        index=pd.bdate_range("2020-01-01", periods=count, name="date"),
    )


def flat_bars(count: int = 200) -> pd.DataFrame:
    """A constant price without trades."""
    bars = simulated_bars(count)
    bars[["open", "high", "low", "close"]] = 10.0
    return bars.assign(volume=0.0)


def session_bars(count: int = 300, *, first: date = date(2020, 1, 2), exchange: str = "XNYS", seed: int = 1) -> pd.DataFrame:
    """As `simulated_bars`, 1.5 % per session, on real sessions of an exchange; volume rises with the size of the move."""
    bars = simulated_bars(count, seed=seed, volatility=0.015)
    days = sessions(exchange, first=first, last=first + timedelta(days=2 * count + 30))[:count]
    moves = np.log(bars["close"]).diff().abs().fillna(0.0)
    noise = np.exp(0.2 * np.random.default_rng(seed).standard_normal(count))
    return bars.assign(volume=np.round(1e6 * noise * (1 + moves / 0.03))).set_index(days)


def rescaled(bars: pd.DataFrame, rows: slice, factor: float, *, columns: tuple[str, ...] = PRICES) -> pd.DataFrame:
    """A copy with some rows, by default their prices, times a factor, as by a wrong unit or a missing split."""
    factors = np.ones(len(bars))
    factors[rows] = factor
    return bars.assign(**{column: bars[column] * factors for column in columns})


def replaced(bars: pd.DataFrame, rows: slice, **values: float) -> pd.DataFrame:
    """A copy with these values in some rows."""
    there = np.zeros(len(bars), dtype=bool)
    there[rows] = True
    return bars.assign(**{column: bars[column].mask(there, value) for column, value in values.items()})


def linear_network(config: ForecastConfig = TINY, *, seed: int = 3) -> bytes:
    """An ONNX model of random weights, input (n, window, features), output (n, levels) around the standard normal's quantiles."""
    rng = np.random.default_rng(seed)
    inputs, outputs = config.window * len(config.features), len(config.quantile_levels)
    weights = {"kernel": 0.002 * rng.standard_normal((inputs, outputs)), "bias": np.linspace(-1.6, 1.6, outputs)}
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["windows"], ["flat"]), helper.make_node("Gemm", ["flat", *weights], ["quantiles"])],
        "linear",
        [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", config.window, len(config.features)])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@cache
def _horizons() -> Horizons | None:
    table = compute_features(simulated_bars(), TINY)
    return fit_horizons([(table, len(table.dates) - 1)], TINY)


def serving_model(*, median_weight: float = 0.5, spread: float = 1.2, trees: bytes | None = None) -> ServingModel:
    """An untrained model of `TINY` that can serve."""
    return ServingModel(
        config=TINY,
        onnx=linear_network(),
        scaler=Scaler(mean=(0.0,) * len(TINY.features), spread=(1.0,) * len(TINY.features)),
        calibration=Calibration(median_weight=median_weight, spread=spread),
        trees=trees,
        horizons=_horizons(),
    )
