"""The ONNX model: equal outputs to the Keras network, and the same bytes for the same weights."""

import numpy as np
import onnxruntime
import pytest

from forecasting.pipeline.model.network import QuantileNetwork, Weights, network_for
from forecasting.pipeline.model.windows import Examples, Windows
from forecasting.pipeline.serving.onnx_graph import to_onnx
from tests.pipeline.market_data import TINY

ROWS = 40


@pytest.fixture(scope="module")
def network() -> QuantileNetwork:
    return network_for(TINY, TINY.batch_size)


def random_weights(network: QuantileNetwork, seed: int) -> Weights:
    rng = np.random.default_rng(seed)
    return {name: (0.3 * rng.standard_normal(values.shape)).astype(np.float32) for name, values in network.weights.items()}


def windows(seed: int) -> Windows:
    shape = (ROWS, TINY.window, len(TINY.features))
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def by_keras(network: QuantileNetwork, weights: Weights, inputs: Windows) -> np.ndarray:
    network.weights = weights
    values = inputs.reshape(-1, len(TINY.features))
    ends = np.arange(TINY.window - 1, len(values), TINY.window)
    return network.predict(Examples(values, ends, np.zeros(ROWS, np.float32), TINY.window))


def by_onnx(content: bytes, inputs: Windows) -> np.ndarray:
    session = onnxruntime.InferenceSession(content)
    (outputs,) = session.run(["quantiles"], {"window": inputs})
    return np.asarray(outputs)


@pytest.mark.parametrize("seed", range(5))
def test_its_output_equals_that_of_the_keras_network(network: QuantileNetwork, seed: int) -> None:
    weights = random_weights(network, seed)

    expected = by_keras(network, weights, windows(seed))

    np.testing.assert_allclose(by_onnx(to_onnx(weights, TINY), windows(seed)), expected, rtol=1e-6, atol=1e-6)


def test_every_weight_affects_the_output(network: QuantileNetwork) -> None:
    weights = random_weights(network, 1)
    before = by_onnx(to_onnx(weights, TINY), windows(1))

    for name, values in weights.items():
        changed = weights | {name: values + np.float32(0.1)}
        assert (by_onnx(to_onnx(changed, TINY), windows(1)) != before).any(), name


def test_the_same_weights_give_the_same_bytes(network: QuantileNetwork) -> None:
    weights = random_weights(network, 1)

    assert to_onnx(dict(weights), TINY) == to_onnx(weights, TINY) != to_onnx(random_weights(network, 2), TINY)


def test_it_is_not_much_larger_than_its_weights(network: QuantileNetwork) -> None:
    weights = random_weights(network, 1)

    assert len(to_onnx(weights, TINY)) < sum(values.nbytes for values in weights.values()) + 4_000


def test_a_forecast_depends_on_its_batch_only_by_rounding(network: QuantileNetwork) -> None:
    content = to_onnx(random_weights(network, 1), TINY)

    together = by_onnx(content, windows(1))

    np.testing.assert_allclose(by_onnx(content, windows(1)[7:8]), together[7:8], rtol=1e-6, atol=1e-6)
