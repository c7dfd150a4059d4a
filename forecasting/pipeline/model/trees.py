"""The trees: the expected size of the next move from boosted regression trees, fitted on many symbols together.

They are the third expert beside the LSTM and the volatility regression. Training only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.features import FeatureTable, tree_inputs
from forecasting.pipeline.model.trailing import Array

SMALLEST_TARGET = 0.02  # units of EWMA volatility; the gamma loss needs positive sizes
COLUMN_SHARE = 0.4  # of the columns that each split may choose from
LEAF_PENALTY = 20.0  # L2, on the values of the leaves

Part = tuple[FeatureTable, range]  # the rows of one symbol


@dataclass(frozen=True, slots=True, eq=False)
class SizeTrees:
    """Quantiles of the standardised return: the trees' size times `levels`."""

    nodes: tuple[npt.NDArray[np.void], ...]  # per tree, scikit-learn's node records
    baseline: float  # log of the size before the first tree
    levels: Array  # (levels,), ascending, 0 in the middle


def fit_trees(parts: Sequence[Part], config: ForecastConfig, *, threads: int) -> SizeTrees:
    """Fits on the rows of all symbols. The number of threads changes no bit.

    Gradient boosting: Friedman, Greedy Function Approximation: A Gradient Boosting Machine (2001), with the deviance of the gamma
    distribution, whose spread grows with the size. Missing values go to the side of a split with the smaller loss.
    """
    inputs = np.concatenate([tree_inputs(table, rows, config) for table, rows in parts])
    inputs[:, np.isnan(inputs).all(axis=0)] = 0.0  # scikit-learn cannot bin a column without values; no split uses a constant
    target = np.concatenate([table.target[rows.start : rows.stop] for table, rows in parts])
    regressor = HistGradientBoostingRegressor(
        loss="gamma",
        learning_rate=config.tree_rate,
        max_iter=config.trees,
        max_leaf_nodes=config.tree_leaves,
        min_samples_leaf=config.tree_rows,
        l2_regularization=LEAF_PENALTY,
        max_features=COLUMN_SHARE,
        early_stopping=False,
        random_state=config.seed,
    )
    with threadpool_limits(limits=threads, user_api="openmp"):
        regressor.fit(inputs, np.abs(target).clip(min=SMALLEST_TARGET))
        size = regressor.predict(inputs)
    # The estimator has no public access to its trees; a test compares them with its predictions.
    nodes = tuple(tree.nodes for (tree,) in regressor._predictors)
    return SizeTrees(nodes, float(regressor._baseline_prediction.item()), symmetric_levels(target / size, config.quantile_levels))


def symmetric_levels(ratio: Array, levels: tuple[float, ...]) -> Array:
    """Quantiles of `ratio` (rows,), halfway to symmetric ones: the upper and the lower tail tell much about each other."""
    own = np.quantile(ratio, levels)
    own[len(levels) // 2] = 0.0
    mean: Array = (own + (own - own[::-1]) / 2) / 2
    return mean
