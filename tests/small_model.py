"""A hand-made model, built in milliseconds: real files for ONNX Runtime, with numbers chosen by the test."""

from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper

from forecasting import registry
from forecasting.models import ModelVersion, Symbol
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.calibration import Calibration
from forecasting.pipeline.model.horizons import Horizon, Horizons
from forecasting.pipeline.model.windows import Scaler
from forecasting.pipeline.serving.trained import TrainedModel
from tests.factories import METRICS, make_claimed

CONFIG = ForecastConfig()
LEVELS = len(CONFIG.quantile_levels)
FEATURES = len(CONFIG.features)
BARS_NEEDED = CONFIG.warm_up + CONFIG.window
QUANTILES = (-1.6, -1.3, -0.6, 0.1, 0.7, 1.3, 1.7)  # of the next return, in units of its volatility


# Half of the EWMA volatility times the root of the sessions, whatever the bars; with a record of a backtest at 5 sessions.
HORIZONS = Horizons(
    regressors=("fall",),
    scaler=Scaler(mean=(0.0,), spread=(1.0,)),
    quantile_levels=(0.01, *CONFIG.quantile_levels, 0.99),
    each=tuple(
        Horizon(
            sessions=sessions,
            coefficients=(0.0,),
            intercept=0.5,
            levels=(-3.3, -2.1, -1.6, -0.8, 0.0, 0.8, 1.6, 2.1, 3.3),
            outcomes=outcomes,
            covered=covered,
        )
        for sessions, outcomes, covered in ((5, 400, 300), (10, 0, 0), (21, 0, 0))
    ),
)


def trained_model(*, symbol: str = "SAMPLE1", quantiles: Sequence[float] = QUANTILES, **values: Any) -> TrainedModel:
    """A finished training whose network returns the same standardised quantiles for any input."""
    defaults: dict[str, Any] = {
        "config": CONFIG,
        "onnx": _network(tuple(quantiles)),
        "scaler": Scaler(mean=(0.0,) * FEATURES, spread=(1.0,) * FEATURES),
        "calibration": Calibration(median_weight=1.0, spread=1.0),
        "symbol": symbol,
        "weights": b"weights of a test",
        "metrics": METRICS,
        "backtest": pd.DataFrame({"as_of": [pd.Timestamp("2025-05-30")], "target_date": [pd.Timestamp("2025-06-02")]}),
        "data_start": date(2020, 1, 2),
        "data_end": date(2025, 6, 2),
        "bar_count": 1360,
        "from_base": False,
        "epochs": 4,
        "duration_s": 1.5,
        "versions": {"test": "1"},
    }
    return TrainedModel(**(defaults | values))


def publish_model(symbol: Symbol | None, **values: Any) -> ModelVersion:
    """A finished training of the symbol as its active version, with files."""
    training = make_claimed(symbol)
    return registry.publish(trained_model(**values), training_id=training.pk, fence=training.fence)


@cache
def _network(quantiles: tuple[float, ...]) -> bytes:
    """(1, window, features) -> (1, levels): zero times the window, plus the quantiles."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["window"], ["flat"]),
            helper.make_node("MatMul", ["flat", "nothing"], ["zeros"]),
            helper.make_node("Add", ["zeros", "constant"], ["quantiles"]),
        ],
        "constant",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, [None, CONFIG.window, FEATURES])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, [None, LEVELS])],
        [
            onnx.numpy_helper.from_array(np.zeros((CONFIG.window * FEATURES, LEVELS), np.float32), "nothing"),
            onnx.numpy_helper.from_array(np.array(quantiles, np.float32), "constant"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
