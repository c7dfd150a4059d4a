"""The trees as ONNX: equal outputs to scikit-learn's, the same bytes for the same trees."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.tree_columns import Float32, tree_columns
from forecasting.pipeline.model.trees import SizeTrees
from forecasting.pipeline.serving import tree_graph
from tests.pipeline.market_data import TINY
from tests.pipeline.small_trees import size_trees, trees_onnx

COLUMNS = len(tree_columns(TINY))
LEVELS = np.array([-2.0, -1.5, -0.5, 0.0, 0.75, 1.5, 2.0])


def columns(rows: int, seed: int, *, missing: float) -> Float32:
    """Random columns, some of few distinct values, a share of them missing."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, COLUMNS))
    values[:, ::5] = np.round(values[:, ::5])
    return np.where(rng.random(values.shape) < missing, np.nan, values).astype(np.float32)


def fitted(seed: int, *, missing: float, **settings: Any) -> tuple[HistGradientBoostingRegressor, SizeTrees]:
    inputs = columns(4_000, seed, missing=missing)
    rng = np.random.default_rng(seed)
    size = np.exp(0.3 * np.nan_to_num(inputs[:, 0]) + 0.5 * np.isnan(inputs[:, 1])) * rng.gamma(2, 0.5, len(inputs))
    regressor = HistGradientBoostingRegressor(loss="gamma", early_stopping=False, random_state=seed, **settings)
    with threadpool_limits(limits=1):
        regressor.fit(inputs, size.clip(min=0.02))
    nodes = tuple(tree.nodes for (tree,) in regressor._predictors)
    return regressor, SizeTrees(nodes, float(regressor._baseline_prediction.item()), LEVELS)


def by_onnx(content: bytes, inputs: Float32) -> np.ndarray:
    (outputs,) = onnxruntime.InferenceSession(content).run(["quantiles"], {"columns": inputs})
    return np.asarray(outputs)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_its_quantiles_are_the_size_of_scikit_learn_times_the_levels(seed: int, missing: float) -> None:
    regressor, trees = fitted(seed, missing=missing, max_iter=100, max_leaf_nodes=15, min_samples_leaf=20)
    inputs = columns(2_000, seed + 100, missing=missing)

    expected = regressor.predict(inputs)[:, None] * LEVELS

    np.testing.assert_allclose(by_onnx(tree_graph.to_onnx(trees, TINY), inputs), expected, rtol=1e-5)


def test_values_at_a_threshold_take_the_same_branch() -> None:
    regressor, trees = fitted(0, missing=0.1, max_iter=50)
    thresholds = np.concatenate([nodes["num_threshold"][nodes["is_leaf"] == 0] for nodes in trees.nodes])
    near = np.concatenate([thresholds.astype(np.float32), np.nextafter(thresholds.astype(np.float32), np.float32(9))])
    inputs = np.random.default_rng(1).choice(near, (2_000, COLUMNS))

    expected = regressor.predict(inputs)[:, None] * LEVELS

    np.testing.assert_allclose(by_onnx(tree_graph.to_onnx(trees, TINY), inputs), expected, rtol=1e-5)


def test_the_same_trees_give_the_same_bytes() -> None:
    assert tree_graph.to_onnx(size_trees(), TINY) == trees_onnx()


def test_a_row_is_the_same_to_the_last_bit_in_any_batch() -> None:
    inputs = columns(50, 3, missing=0.1)

    together = by_onnx(trees_onnx(), inputs)

    np.testing.assert_array_equal(by_onnx(trees_onnx(), inputs[7:8]), together[7:8])


def test_the_trees_of_a_base_have_less_than_300_kilobytes() -> None:
    config = ForecastConfig()
    _, trees = fitted(0, missing=0.1, max_iter=config.trees, max_leaf_nodes=config.tree_leaves, min_samples_leaf=20)

    assert {len(nodes) for nodes in trees.nodes} == {2 * config.tree_leaves - 1}
    assert len(tree_graph.to_onnx(trees, config)) < 300_000
