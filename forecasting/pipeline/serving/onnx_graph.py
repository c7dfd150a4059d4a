"""The network as an ONNX model, written node by node from its weights: small, the same bytes for the same weights, in no time.

It mirrors `network._build`; a test holds the two together.

Own code: Keras's export traces the model anew for each version, 0.3 s, where writing these nodes takes next to none.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from forecasting.pipeline.config import SEQUENCE, ForecastConfig
from forecasting.pipeline.model.volatility import SMALLEST_SIZE

OPSET, IR_VERSION = 17, 8  # what every ONNX Runtime of the last years reads
KERAS_GATES = ("input", "forget", "cell", "output")
ONNX_GATES = ("input", "output", "forget", "cell")

Float32 = npt.NDArray[np.float32]


def to_onnx(weights: Mapping[str, Float32], config: ForecastConfig) -> bytes:
    """Input `window` (n, window, features), output `quantiles` (n, levels). `weights` by layer and variable, as Keras has them."""
    columns, levels = len(config.features), len(config.quantile_levels)
    graph = helper.make_graph(
        _nodes(config),
        "quantiles",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["n", config.window, columns])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["n", levels])],
        [numpy_helper.from_array(value, name) for name, value in (_constants(config) | _parameters(weights)).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _nodes(config: ForecastConfig) -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node("Slice", ["window", "zero", "sequence_end", "feature_axis"], ["sequence"]),
        node("Transpose", ["sequence"], ["sessions_first"], perm=[1, 0, 2]),
        node("LSTM", ["sessions_first", "lstm_w", "lstm_r", "lstm_b"], ["", "last_state"], hidden_size=config.units),
        node("Squeeze", ["last_state", "zero"], ["memory"]),
        node("Gather", ["window", "last_session"], ["session"], axis=1),
        node("Slice", ["session", "sequence_end", "features_end", "session_axis"], ["sizes"]),
        node("Concat", ["memory", "sizes"], ["seen"], axis=1),
        node("Gemm", ["seen", "scale/kernel", "scale/bias"], ["log_scale"]),
        node("Exp", ["log_scale"], ["scale"]),
        node("Gemm", ["seen", "shape/kernel", "shape/bias"], ["shape"]),
        node("Mul", ["scale", "shape"], ["lstm_expert"]),
        node("Slice", ["session", "regressors_start", "features_end", "session_axis"], ["regressors"]),
        node("Gemm", ["regressors", "size/kernel", "size/bias"], ["above_floor"]),
        node("Relu", ["above_floor"], ["not_below_floor"]),
        node("Add", ["not_below_floor", "floor"], ["size"]),
        node("MatMul", ["size", "volatility_expert/kernel"], ["volatility_expert"]),
        node("Mul", ["lstm_expert", "network_share"], ["lstm_part"]),
        node("Mul", ["volatility_expert", "regression_share"], ["volatility_part"]),
        node("Add", ["lstm_part", "volatility_part"], ["quantiles"]),
    ]


def _constants(config: ForecastConfig) -> dict[str, npt.NDArray[np.generic]]:
    positions = {
        "zero": 0,
        "sequence_end": len(SEQUENCE),
        "features_end": len(config.features),
        "regressors_start": config.regressors.start,
        "feature_axis": 2,
        "session_axis": 1,
    }
    shares = {"floor": SMALLEST_SIZE, "network_share": config.network_share, "regression_share": 1 - config.network_share}
    return {
        **{name: np.array([value], dtype=np.int64) for name, value in positions.items()},
        "last_session": np.array(config.window - 1, dtype=np.int64),
        **{name: np.array(value, dtype=np.float32) for name, value in shares.items()},
    }


def _parameters(weights: Mapping[str, Float32]) -> dict[str, Float32]:
    """The dense layers' as they are, the LSTM's transposed, its gates in ONNX's order, its recurrent bias zero."""
    kernel, recurrent, bias = (weights[f"lstm/lstm_cell/{name}"] for name in ("kernel", "recurrent_kernel", "bias"))
    dense = {name: value for name, value in weights.items() if not name.startswith("lstm/")}
    ordered = _in_onnx_order(bias[None])
    return dense | {
        "lstm_w": _in_onnx_order(kernel).T[None],
        "lstm_r": _in_onnx_order(recurrent).T[None],
        "lstm_b": np.concatenate([ordered, np.zeros_like(ordered)], axis=1),
    }


def _in_onnx_order(values: Float32) -> Float32:
    """Columns (n, 4 units) of the gates, from Keras's order to ONNX's."""
    gates = dict(zip(KERAS_GATES, np.split(values, 4, axis=1), strict=True))
    return np.concatenate([gates[name] for name in ONNX_GATES], axis=1)
