"""Writes the trees as an ONNX model, node by node: the same bytes for the same trees."""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.tree_columns import Float32, tree_columns
from forecasting.pipeline.model.trees import SizeTrees
from forecasting.pipeline.serving.onnx_graph import IR_VERSION, OPSET

TREES_DOMAIN, TREES_OPSET = "ai.onnx.ml", 3


def to_onnx(trees: SizeTrees, config: ForecastConfig) -> bytes:
    """Input `columns` (n, columns), output `quantiles` (n, levels) of the standardised return."""
    columns, levels = len(tree_columns(config)), len(config.quantile_levels)
    graph = helper.make_graph(
        [
            _ensemble(trees),
            helper.make_node("Exp", ["log_size"], ["size"]),
            helper.make_node("MatMul", ["size", "levels"], ["quantiles"]),
        ],
        "trees",
        [helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["n", columns])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["n", levels])],
        [numpy_helper.from_array(trees.levels[None].astype(np.float32), "levels")],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(TREES_DOMAIN, TREES_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _ensemble(trees: SizeTrees) -> onnx.NodeProto:
    """Sums the leaves' values. Specification: ONNX ML, TreeEnsembleRegressor."""
    sizes = [len(nodes) for nodes in trees.nodes]
    nodes = np.concatenate(trees.nodes)
    tree, number = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(size) for size in sizes])
    leaf = nodes["is_leaf"].astype(bool)
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["columns"],
        ["log_size"],
        domain=TREES_DOMAIN,
        n_targets=1,
        base_values=[trees.baseline],
        nodes_treeids=tree.tolist(),
        nodes_nodeids=number.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=np.where(leaf, 0, nodes["feature_idx"]).tolist(),
        nodes_values=np.where(leaf, 0.0, _rounded_down(nodes["num_threshold"])).tolist(),
        nodes_truenodeids=np.where(leaf, 0, nodes["left"]).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, nodes["right"]).tolist(),
        nodes_missing_value_tracks_true=np.where(leaf, 0, nodes["missing_go_to_left"]).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=number[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=nodes["value"][leaf].tolist(),
    )


def _rounded_down(thresholds: npt.NDArray[np.float64]) -> Float32:
    """The largest float32 at most each threshold: every float32 input then takes the same branch as in double precision."""
    nearest = thresholds.astype(np.float32)
    lower: Float32 = np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return lower
