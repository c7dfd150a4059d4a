"""The trees: what they learn, and that a fit is reproducible."""

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.model.features import compute_features, tree_inputs
from forecasting.pipeline.model.trees import fit_trees, symmetric_levels
from forecasting.pipeline.serving import tree_graph
from forecasting.pipeline.serving.forecaster import Forecaster
from tests.pipeline.market_data import TINY, serving_model, session_bars, simulated_bars
from tests.pipeline.small_trees import size_trees

LEVELS = TINY.quantile_levels


def test_levels_lie_halfway_between_the_own_quantiles_and_symmetric_ones() -> None:
    ratio = np.linspace(-1, 3, 4001)

    levels = symmetric_levels(ratio, LEVELS)

    own_low, own_high = -0.8, 2.8  # 5 and 95 %
    assert levels[[0, -1]] == pytest.approx([(own_low - (own_high - own_low) / 2) / 2, (own_high + (own_high - own_low) / 2) / 2])
    assert levels[3] == 0


def test_the_same_rows_give_the_same_trees_with_any_number_of_threads() -> None:
    first, again = size_trees(), size_trees(threads=2)

    assert tree_graph.to_onnx(first, TINY) == tree_graph.to_onnx(again, TINY)
    assert tree_graph.to_onnx(size_trees(seed=2), TINY) != tree_graph.to_onnx(first, TINY)


def test_every_leaf_has_enough_rows() -> None:
    for nodes in size_trees().nodes:
        leaves = nodes[nodes["is_leaf"] == 1]
        assert leaves["count"].min() >= TINY.tree_rows
        assert len(leaves) <= TINY.tree_leaves


def test_they_learn_that_moves_are_larger_after_a_weekend() -> None:
    bars = session_bars(900)
    monday = np.flatnonzero(pd.DatetimeIndex(bars.index).day_of_week == 0)
    moved = np.log(bars["close"]).diff().fillna(0).to_numpy(copy=True)
    moved[monday] *= 4
    close = 50 * np.exp(np.cumsum(moved))
    bars = bars.assign(open=close, high=close * 1.001, low=close * 0.999, close=close)
    table = compute_features(bars, TINY, exchange="XNYS")
    trees = fit_trees([(table, range(len(table.dates) - 1))], TINY, threads=1)

    model = Forecaster(serving_model(trees=tree_graph.to_onnx(trees, TINY)))
    rows = range(len(table.dates) - 100, len(table.dates))
    width = np.ptp(model.standardised_quantiles(table, rows), axis=1)

    friday = table.dates[rows.start :].day_of_week == 4
    assert width[friday].mean() > 1.2 * width[~friday].mean()


def test_histories_without_any_earlier_quarter_are_enough() -> None:
    table = compute_features(simulated_bars(80), TINY)

    trees = fit_trees([(table, range(len(table.dates) - 1))], TINY, threads=1)

    assert np.isnan(tree_inputs(table, range(len(table.dates)), TINY)).all(axis=0).any()
    assert np.isfinite(trees.levels).all()


def test_a_constant_price_can_be_among_the_rows() -> None:
    tables = [compute_features(simulated_bars(300), TINY), compute_features(simulated_bars(300).assign(close=10.0), TINY)]

    trees = fit_trees([(table, range(len(table.dates) - 1)) for table in tables], TINY, threads=1)

    assert np.isfinite(trees.levels).all()
