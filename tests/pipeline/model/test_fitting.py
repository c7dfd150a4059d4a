"""Early stopping, scaling and checks of a fit."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.features import Array, FeatureTable, compute_features
from forecasting.pipeline.model.fitting import (
    begin,
    fit_scaler,
    fit_until_no_better,
    learning_rate,
    most_epochs,
    require_finite,
    scaler_of,
)
from forecasting.pipeline.model.network import QuantileNetwork, network_for
from forecasting.pipeline.model.windows import Examples, make_examples
from forecasting.pipeline.serving.artifacts import Fit
from tests.pipeline.market_data import TINY, simulated_bars

ROWS, UNSEEN = range(9, 109), range(109, 170)


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    return compute_features(simulated_bars(200), TINY)


@pytest.fixture(scope="module")
def network() -> QuantileNetwork:
    return network_for(TINY, TINY.batch_size)


def losses(network: QuantileNetwork, examples: Examples, unseen: Examples, *, rate: float, epochs: int) -> list[float]:
    """The pinball loss of sorted quantiles before a fit and after each epoch."""
    levels, target = np.array(TINY.quantile_levels), unseen.target.astype(np.float64)[:, None]

    def loss() -> float:
        error: Array = target - np.sort(network.predict(unseen), axis=1)
        return float(np.maximum(levels * error, (levels - 1) * error).mean())

    return [loss(), *(loss() for _ in islice(network.epochs(examples, learning_rate=rate), epochs))]


def best(losses: list[float], patience: int, *, from_base: bool) -> tuple[int, int]:
    """The best epoch before `patience` epochs without a better one, and the number of epochs until then."""
    chosen, lowest = 0, losses[0] if from_base else np.inf
    for epoch, loss in enumerate(losses[1:], start=1):
        if loss < lowest:
            chosen, lowest = epoch, loss
        elif epoch == chosen + patience:
            return chosen, epoch
    return chosen, len(losses) - 1


@pytest.mark.parametrize("from_base", [False, True])
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_a_fit_ends_after_some_epochs_without_a_better_loss_and_keeps_the_best_one(
    network: QuantileNetwork, table: FeatureTable, patience: int, from_base: bool
) -> None:
    config = replace(TINY, patience=patience, learning_rate=0.03, fine_tune_rate=0.03, max_epochs=12, fine_tune_epochs=12)
    scaler, examples = begin(network, table, ROWS, config, None)
    unseen = make_examples(table, UNSEEN, scaler, config)
    start, told = network.weights, list[int]()
    expected, epochs = best(losses(network, examples, unseen, rate=0.03, epochs=12), patience, from_base=from_base)
    network.weights = start

    chosen = fit_until_no_better(network, examples, unseen, config, from_base=from_base, progress=told.append)

    assert (chosen, told) == (expected, [*range(1, epochs + 1)])
    forecasts, network.weights = network.predict(unseen), start
    epoch_by_epoch = network.epochs(examples, learning_rate=0.03)
    reached = [network.predict(unseen), *(network.predict(unseen) for _ in islice(epoch_by_epoch, expected))]
    np.testing.assert_array_equal(forecasts, reached[-1])


def test_a_fit_that_only_harms_a_base_keeps_its_weights(network: QuantileNetwork, table: FeatureTable) -> None:
    scaler, examples = begin(network, table, ROWS, TINY, None)
    unseen = make_examples(table, ROWS, scaler, TINY)
    for _ in islice(network.epochs(examples, learning_rate=0.01), 20):
        pass
    before = network.weights
    wrong = replace(examples, target=examples.target + 30)

    chosen = fit_until_no_better(network, wrong, unseen, replace(TINY, fine_tune_rate=0.1), from_base=True, progress=lambda _: None)

    assert chosen == 0
    assert all((network.weights[name] == values).all() for name, values in before.items())


def test_a_fit_whose_loss_is_never_finite_fails(network: QuantileNetwork, table: FeatureTable) -> None:
    scaler, examples = begin(network, table, ROWS, TINY, None)
    unseen = make_examples(table, UNSEEN, scaler, TINY)
    lost = replace(unseen, target=np.full(len(unseen), np.nan, np.float32))

    with pytest.raises(FloatingPointError, match="validation loss is not a finite number"):
        fit_until_no_better(network, examples, lost, TINY, from_base=False, progress=lambda _: None)


def test_a_fit_uses_the_rates_and_epochs_of_its_kind() -> None:
    config = ForecastConfig()

    assert (learning_rate(config, from_base=False), learning_rate(config, from_base=True)) == (2e-3, 3e-4)
    assert (most_epochs(config, from_base=False), most_epochs(config, from_base=True)) == (20, 8)


def test_a_scaler_knows_the_mean_and_spread_of_each_column() -> None:
    scaler = scaler_of(np.array([[1.0, 5.0], [3.0, 5.0]]))

    assert (scaler.mean, scaler.spread) == ((2.0, 5.0), (1.0, 1.0))


def test_a_scaler_uses_the_sessions_of_the_windows_and_no_later_ones(table: FeatureTable) -> None:
    scaler = fit_scaler(table, ROWS)

    np.testing.assert_allclose(scaler.mean, table.features[:109].mean(axis=0))
    np.testing.assert_allclose(scaler.spread, table.features[:109].std(axis=0))


def test_a_fit_from_a_base_starts_with_its_scaler_and_weights(network: QuantileNetwork, table: FeatureTable) -> None:
    scaler, examples = begin(network, table, range(9, 60), TINY, None)
    for _ in islice(network.epochs(examples, learning_rate=0.01), 2):
        pass
    base = Fit(weights=network.to_hdf5(), scaler=scaler, trees=b"")
    forecasts = network.predict(make_examples(table, ROWS, scaler, TINY))
    begin(network, table, ROWS, TINY, None)

    used, of_rows = begin(network, table, ROWS, TINY, base)

    assert used == scaler
    np.testing.assert_array_equal(network.predict(of_rows), forecasts)


def test_weights_that_are_not_finite_are_refused(network: QuantileNetwork, table: FeatureTable) -> None:
    begin(network, table, ROWS, TINY, None)
    require_finite(network)
    network.weights = network.weights | {"shape/bias": np.array([0, 0, 0, np.inf, 0, 0, 0], np.float32)}

    with pytest.raises(FloatingPointError, match="weights are no longer finite numbers"):
        require_finite(network)
