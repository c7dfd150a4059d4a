"""The Keras network: reproducible fits, and an ONNX export that says the same."""

from dataclasses import replace
from itertools import islice

import numpy as np
import onnxruntime
import pytest

from forecasting.pipeline.config import FEATURES, ForecastConfig
from forecasting.pipeline.features import Array
from forecasting.pipeline.network import QuantileNetwork, network_for
from forecasting.pipeline.windows import Windows
from tests.pipeline.market_data import TINY

EXAMPLES = 70  # not a multiple of the batch size


@pytest.fixture(scope="module")
def network() -> QuantileNetwork:
    return network_for(TINY)


def examples(seed: int) -> tuple[Windows, Array]:
    rng = np.random.default_rng(seed)
    windows = rng.standard_normal((EXAMPLES, TINY.window, len(FEATURES))).astype(np.float32)
    return windows, windows[:, -1, 0] + rng.standard_normal(EXAMPLES)


def fitted(network: QuantileNetwork, seed: int, *, epochs: int = 2) -> Array:
    """Forecasts on the examples of `seed` after a fit on them."""
    windows, target = examples(seed)
    for _ in islice(network.epochs(windows, target), epochs):
        pass
    return network.predict(windows)


def test_one_process_has_one_network_per_config(network: QuantileNetwork) -> None:
    assert network_for(ForecastConfig.from_dict(TINY.to_dict())) is network


def test_the_seed_decides_where_a_fit_starts() -> None:
    seeds = (1, 1, 2)

    starts = [QuantileNetwork(replace(TINY, seed=seed)).weights[0].tolist() for seed in seeds]

    assert starts[0] == starts[1] != starts[2]


def test_a_fit_leaves_nothing_behind_for_the_next(network: QuantileNetwork) -> None:
    first = fitted(network, seed=1)
    fitted(network, seed=2, epochs=3)

    np.testing.assert_array_equal(fitted(network, seed=1), first)


def test_fitting_lowers_the_loss_below_that_of_the_unconditional_quantiles(network: QuantileNetwork) -> None:
    _, target = examples(1)
    levels = np.array(TINY.quantile_levels)

    def loss(quantiles: Array) -> float:
        error = target[:, None] - quantiles
        return float(np.maximum(levels * error, (levels - 1) * error).mean())

    assert loss(fitted(network, seed=1, epochs=30)) < loss(np.tile(np.quantile(target, levels), (EXAMPLES, 1)))


def test_a_forecast_does_not_depend_on_how_many_are_asked_for(network: QuantileNetwork) -> None:
    together = fitted(network, seed=1)
    windows, _ = examples(1)

    np.testing.assert_array_equal(network.predict(windows[:3]), together[:3])


def test_the_onnx_export_says_the_same(network: QuantileNetwork) -> None:
    expected = fitted(network, seed=1)
    session = onnxruntime.InferenceSession(network.to_onnx())

    (outputs,) = session.run(None, {session.get_inputs()[0].name: examples(1)[0]})

    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)


def test_earlier_weights_bring_back_earlier_forecasts(network: QuantileNetwork) -> None:
    expected, weights = fitted(network, seed=1), network.weights
    fitted(network, seed=2)

    network.weights = weights

    np.testing.assert_array_equal(network.predict(examples(1)[0]), expected)


def test_the_weights_file_follows_from_the_weights_alone(network: QuantileNetwork) -> None:
    fitted(network, seed=1)
    content = network.to_hdf5()
    fitted(network, seed=2)
    other = network.to_hdf5()
    fitted(network, seed=1)

    assert network.to_hdf5() == content != other
