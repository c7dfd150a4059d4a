"""The Keras network: fits are reproducible from given initial weights, and independent of earlier fits."""

import warnings
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from forecasting.pipeline.config import SEQUENCE, ForecastConfig
from forecasting.pipeline.model.features import Array
from forecasting.pipeline.model.fitting import start_from_scratch
from forecasting.pipeline.model.network import QuantileNetwork, Weights, network_for
from forecasting.pipeline.model.windows import Examples
from tests.pipeline.market_data import TINY

EXAMPLES = 70  # not a multiple of the batch size


@pytest.fixture(scope="module")
def network() -> QuantileNetwork:
    return network_for(TINY, TINY.batch_size)


def examples(seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((EXAMPLES + TINY.window - 1, len(TINY.features))).astype(np.float32)
    ends = np.arange(TINY.window - 1, len(values))
    size = np.exp(0.5 * values[ends, -3])
    target = values[ends, 0] + size * rng.standard_normal(EXAMPLES)
    return Examples(values, ends, target.astype(np.float32), TINY.window)


def fitted(network: QuantileNetwork, seed: int, *, epochs: int = 2) -> Array:
    """Forecasts for the examples of `seed` after a fit on them."""
    start_from_scratch(network, examples(seed), TINY)
    for _ in islice(network.epochs(examples(seed), learning_rate=TINY.learning_rate), epochs):
        pass
    return network.predict(examples(seed))


def loss(target: Array, quantiles: Array) -> float:
    levels = np.array(TINY.quantile_levels)
    error = target[:, None] - quantiles
    return float(np.maximum(levels * error, (levels - 1) * error).mean())


def test_one_process_has_one_network_per_config_and_batch(network: QuantileNetwork) -> None:
    assert network_for(ForecastConfig.from_dict(TINY.to_dict()), TINY.batch_size) is network


def test_the_seed_determines_the_initial_weights() -> None:
    seeds = (1, 1, 2)

    starts = [QuantileNetwork(replace(TINY, seed=seed), 16).weights["lstm/lstm_cell/kernel"].tolist() for seed in seeds]

    assert starts[0] == starts[1] != starts[2]


def test_without_a_fit_the_lstm_returns_the_unconditional_quantiles(network: QuantileNetwork) -> None:
    whole = examples(1)
    start_from_scratch(network, whole, TINY)
    unconditional = np.quantile(whole.target, TINY.quantile_levels)
    unconditional[3] = 0.0

    weights = network.weights | {"size/kernel": 0 * network.weights["size/kernel"], "size/bias": np.zeros(1, np.float32)}
    network.weights = weights
    regression = 0.2 * weights["volatility_expert/kernel"][0]

    share = TINY.network_share
    expected = share * unconditional + (1 - share) * regression
    np.testing.assert_allclose(network.predict(whole), np.tile(expected, (EXAMPLES, 1)), rtol=1e-5, atol=1e-6)


def test_a_fit_does_not_affect_the_next(network: QuantileNetwork) -> None:
    first = fitted(network, seed=1)
    fitted(network, seed=2, epochs=3)

    np.testing.assert_array_equal(fitted(network, seed=1), first)


def test_fitting_lowers_the_loss_below_that_of_the_unconditional_quantiles(network: QuantileNetwork) -> None:
    target = examples(1).target.astype(np.float64)
    unconditional = np.tile(np.quantile(target, TINY.quantile_levels), (EXAMPLES, 1))

    assert loss(target, fitted(network, seed=1, epochs=30)) < loss(target, unconditional)


def test_one_crash_among_the_examples_does_not_keep_the_fit_from_learning_the_others(network: QuantileNetwork) -> None:
    calm = examples(1)
    target, crashed = calm.target.astype(np.float64), calm.values.copy()
    crashed[calm.ends[5], len(SEQUENCE) :] = 100.0
    start_from_scratch(network, calm, TINY)
    before = loss(target, network.predict(calm))

    for _ in islice(network.epochs(replace(calm, values=crashed), learning_rate=TINY.learning_rate), 20):
        pass

    after, undisturbed = loss(target, network.predict(calm)), loss(target, fitted(network, seed=1, epochs=20))
    assert before - after > 0.5 * (before - undisturbed)


def test_gradient_descent_does_not_touch_the_volatility_regression(network: QuantileNetwork) -> None:
    start_from_scratch(network, examples(1), TINY)
    start = network.weights
    fitted(network, seed=1)

    changed = {name for name, values in network.weights.items() if (values != start[name]).any()}

    assert {name for name in start if name.startswith(("size/", "volatility_expert/"))} == {*start} - changed


def test_between_epochs_the_weights_are_means_and_do_not_affect_the_fit(network: QuantileNetwork) -> None:
    whole = examples(1)
    start_from_scratch(network, whole, TINY)
    first = network.weights
    looked_at = [network.predict(whole) for _ in islice(network.epochs(whole, learning_rate=0.01), 3)]
    network.weights = first
    for _ in islice(network.epochs(whole, learning_rate=0.01), 3):
        pass

    np.testing.assert_array_equal(network.predict(whole), looked_at[-1])


def test_a_decaying_rate_gives_other_weights_than_a_constant_one(network: QuantileNetwork) -> None:
    constant = fitted(network, seed=1)
    start_from_scratch(network, examples(1), TINY)
    for _ in islice(network.epochs(examples(1), learning_rate=TINY.learning_rate, decays_over=2), 2):
        pass

    assert (network.predict(examples(1)) != constant).any()


def states(averaging: float, count: int, *, decays_over: int | None = None) -> list[Weights]:
    """The weights before a fit with one step per epoch, and after each of `count` epochs."""
    config, whole = replace(TINY, averaging=averaging), examples(1)
    network = network_for(config, EXAMPLES)
    start_from_scratch(network, whole, config)
    epochs = network.epochs(whole, learning_rate=0.01, decays_over=decays_over)
    return [network.weights, *(network.weights for _ in islice(epochs, count))]


def changes(before: Weights, after: Weights) -> Array:
    return np.concatenate([(after[name] - values).ravel() for name, values in before.items()]).astype(np.float64)


def test_a_decaying_rate_is_half_as_high_halfway_and_ends_at_zero() -> None:
    constant, decaying = states(0.0, 2), states(0.0, 3, decays_over=2)

    np.testing.assert_array_equal(changes(*decaying[:2]), changes(*constant[:2]))
    np.testing.assert_allclose(changes(*decaying[1:3]), changes(*constant[1:3]) / 2, atol=1e-6)
    assert not changes(*decaying[2:]).any()


def test_the_running_means_forget_faster_at_first_and_then_as_the_config_says() -> None:
    last, means = states(0.0, 2), states(0.2, 2)

    for name in last[0]:
        first = (2 * last[0][name] + 9 * last[1][name]) / 11
        np.testing.assert_allclose(means[1][name], first, atol=1e-6)
        np.testing.assert_allclose(means[2][name], 0.2 * first + 0.8 * last[2][name], atol=1e-6)


def test_a_forecast_does_not_depend_on_the_number_of_forecasts(network: QuantileNetwork) -> None:
    together, whole = fitted(network, seed=1), examples(1)

    few = Examples(whole.values, whole.ends[:3], whole.target[:3], whole.window)

    np.testing.assert_array_equal(network.predict(few), together[:3])


def test_earlier_weights_restore_earlier_forecasts(network: QuantileNetwork) -> None:
    expected, weights = fitted(network, seed=1), network.weights
    fitted(network, seed=2)

    network.weights = weights

    np.testing.assert_array_equal(network.predict(examples(1)), expected)


def test_the_weights_file_depends_only_on_the_weights(network: QuantileNetwork) -> None:
    fitted(network, seed=1)
    content = network.to_hdf5()
    fitted(network, seed=2)
    other = network.to_hdf5()
    fitted(network, seed=1)

    assert network.to_hdf5() == content != other


def test_a_weights_file_restores_every_bit(network: QuantileNetwork) -> None:
    expected, content = fitted(network, seed=1), network.to_hdf5()
    fitted(network, seed=2)

    network.from_hdf5(content)

    np.testing.assert_array_equal(network.predict(examples(1)), expected)


def test_weights_of_another_shape_are_refused(network: QuantileNetwork) -> None:
    content = QuantileNetwork(replace(TINY, units=5), 16).to_hdf5()

    # Keras warns about missing containers before it compares shapes.
    with warnings.catch_warnings(action="ignore"), pytest.raises(ValueError, match="shape"):
        network.from_hdf5(content)
