"""Small trees of `TINY`, fitted in milliseconds. Apart from market_data.py, because a fit imports scikit-learn."""

from functools import cache

from forecasting.pipeline.model.features import compute_features
from forecasting.pipeline.model.trees import SizeTrees, fit_trees
from forecasting.pipeline.serving import tree_graph
from tests.pipeline.market_data import TINY, simulated_bars


def size_trees(*, seed: int = 1, threads: int = 1) -> SizeTrees:
    """Trees fitted on two random walks."""
    tables = [compute_features(simulated_bars(count, seed=seed), TINY) for count in (300, 400)]
    return fit_trees([(table, range(len(table.dates) - 1)) for table in tables], TINY, threads=threads)


@cache
def trees_onnx() -> bytes:
    """The ONNX model of `size_trees`."""
    return tree_graph.to_onnx(size_trees(), TINY)
