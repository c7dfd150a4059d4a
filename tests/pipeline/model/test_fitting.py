"""Early stopping, scaling and checks of a fit."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from forecasting.pipeline.model.features import Array, FeatureTable, compute_features
from forecasting.pipeline.model.fitting import begin, fit_scaler, fit_until_no_better, require_finite, scaler_of
from forecasting.pipeline.model.network import QuantileNetwork, network_for
from forecasting.pipeline.model.windows import Examples, make_examples
from tests.pipeline.market_data import TINY, simulated_bars

ROWS, UNSEEN = range(9, 109), range(109, 170)


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    return compute_features(simulated_bars(200), TINY)


@pytest.fixture(scope="module")
def network() -> QuantileNetwork:
    return network_for(TINY, TINY.batch_size)


def losses(network: QuantileNetwork, examples: Examples, unseen: Examples, *, rate: float, epochs: int) -> list[float]:
    """The pinball loss of sorted quantiles after each epoch of a fit."""
    levels, target = np.array(TINY.quantile_levels), unseen.target.astype(np.float64)[:, None]

    def loss() -> float:
        error: Array = target - np.sort(network.predict(unseen), axis=1)
        return float(np.maximum(levels * error, (levels - 1) * error).mean())

    return [loss() for _ in islice(network.epochs(examples, learning_rate=rate), epochs)]


def best(losses: list[float], patience: int) -> tuple[int, int]:
    """The best epoch before `patience` epochs without a better one, and the number of epochs until then."""
    chosen, lowest = 0, np.inf
    for epoch, loss in enumerate(losses, start=1):
        if loss < lowest:
            chosen, lowest = epoch, loss
        elif epoch == chosen + patience:
            return chosen, epoch
    return chosen, len(losses)


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_a_fit_ends_after_some_epochs_without_a_better_loss_and_keeps_the_best_one(
    network: QuantileNetwork, table: FeatureTable, patience: int
) -> None:
    config = replace(TINY, patience=patience, learning_rate=0.03, max_epochs=12)
    scaler, examples = begin(network, table, ROWS, config)
    unseen = make_examples(table, UNSEEN, scaler, config)
    start, told = network.weights, list[int]()
    expected, epochs = best(losses(network, examples, unseen, rate=0.03, epochs=12), patience)
    network.weights = start

    chosen = fit_until_no_better(network, examples, unseen, config, progress=told.append)

    assert (chosen, told) == (expected, [*range(1, epochs + 1)])
    forecasts, network.weights = network.predict(unseen), start
    epoch_by_epoch = network.epochs(examples, learning_rate=0.03)
    reached = [network.predict(unseen) for _ in islice(epoch_by_epoch, expected)]
    np.testing.assert_array_equal(forecasts, reached[-1])


def test_a_fit_whose_loss_is_never_finite_fails(network: QuantileNetwork, table: FeatureTable) -> None:
    scaler, examples = begin(network, table, ROWS, TINY)
    unseen = make_examples(table, UNSEEN, scaler, TINY)
    lost = replace(unseen, target=np.full(len(unseen), np.nan, np.float32))

    with pytest.raises(FloatingPointError, match="validation loss is not a finite number"):
        fit_until_no_better(network, examples, lost, TINY, progress=lambda _: None)


def test_a_scaler_knows_the_mean_and_spread_of_each_column() -> None:
    scaler = scaler_of(np.array([[1.0, 5.0], [3.0, 5.0]]))

    assert (scaler.mean, scaler.spread) == ((2.0, 5.0), (1.0, 1.0))


def test_a_scaler_uses_the_sessions_of_the_windows_and_no_later_ones(table: FeatureTable) -> None:
    scaler = fit_scaler(table, ROWS)

    np.testing.assert_allclose(scaler.mean, table.features[:109].mean(axis=0))
    np.testing.assert_allclose(scaler.spread, table.features[:109].std(axis=0))


def test_weights_that_are_not_finite_are_refused(network: QuantileNetwork, table: FeatureTable) -> None:
    begin(network, table, ROWS, TINY)
    require_finite(network)
    network.weights = network.weights | {"shape/bias": np.array([0, 0, 0, np.inf, 0, 0, 0], np.float32)}

    with pytest.raises(FloatingPointError, match="weights are no longer finite numbers"):
        require_finite(network)
