"""The pipeline's config: what it refuses, and its round trip through JSON."""

import json

import pytest

from forecasting.pipeline.config import ForecastConfig


def test_it_survives_a_round_trip_through_json() -> None:
    config = ForecastConfig(seed=7, window=30)

    assert ForecastConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_it_refuses_keys_of_another_release() -> None:
    with pytest.raises(TypeError, match="layers"):
        ForecastConfig.from_dict(ForecastConfig().to_dict() | {"layers": 3})


def test_it_knows_the_levels_of_the_intervals_edges() -> None:
    assert ForecastConfig().interval_levels == (0.1, 0.9)


@pytest.mark.parametrize(
    "levels",
    [
        pytest.param((0.9, 0.5, 0.1), id="descending"),
        pytest.param((0.1, 0.9), id="no median"),
        pytest.param((0.1, 0.5, 0.75, 0.9), id="median not in the middle"),
        pytest.param((0.05, 0.5, 0.95), id="no level of the interval's edges"),
    ],
)
def test_it_refuses_levels_that_cannot_carry_the_forecast(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="quantile levels"):
        ForecastConfig(quantile_levels=levels)


def test_it_refuses_batches_that_the_smallest_training_does_not_fill() -> None:
    with pytest.raises(ValueError, match="do not fill a batch of 512"):
        ForecastConfig(batch_size=512)
