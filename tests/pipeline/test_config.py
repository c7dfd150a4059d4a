"""The pipeline's config: validation, and the round trip through JSON."""

import json

import pytest

from forecasting.pipeline.config import RENAMED, RETIRED, SEQUENCE, STRESS, ForecastConfig


def test_it_survives_a_round_trip_through_json() -> None:
    config = ForecastConfig(seed=7, window=30, look_backs=(1, 9))

    assert ForecastConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(("old", "new"), sorted(RENAMED.items()))
def test_it_reads_the_renamed_keys_of_an_earlier_release(old: str, new: str) -> None:
    config = ForecastConfig(look_backs=(1, 9))
    stored = config.to_dict()
    stored[old] = stored.pop(new)

    assert ForecastConfig.from_dict(stored) == config


def test_it_ignores_the_retired_keys_of_an_earlier_release() -> None:
    config = ForecastConfig(look_backs=(1, 9))

    assert ForecastConfig.from_dict(config.to_dict() | dict.fromkeys(RETIRED, 3)) == config


def test_it_refuses_unknown_keys() -> None:
    with pytest.raises(TypeError, match="layers"):
        ForecastConfig.from_dict(ForecastConfig().to_dict() | {"layers": 3})


def test_the_features_are_the_sequence_then_sizes_by_look_back_then_signs_of_stress() -> None:
    features = ForecastConfig(look_backs=(1, 5)).features

    assert features[:7] == SEQUENCE
    assert features[7:-2] == ("range_1", "range_5", "swing_1", "swing_5", "return_1", "return_5", "move_1", "move_5")
    assert features[-2:] == STRESS


def test_the_regressors_are_the_volume_and_all_features_beyond_the_sequence() -> None:
    config = ForecastConfig()

    assert config.features[config.regressors] == ("relative_volume", *config.features[len(SEQUENCE) :])


@pytest.mark.parametrize(
    ("config", "bars"),
    [
        pytest.param(ForecastConfig(), 66, id="longest look-back"),
        pytest.param(ForecastConfig(volatility_sessions=90), 90, id="volatility"),
        pytest.param(ForecastConfig(volume_sessions=100), 99, id="volume"),
    ],
)
def test_it_looks_back_as_far_as_its_longest_feature(config: ForecastConfig, bars: int) -> None:
    assert config.warm_up == bars


def test_it_has_the_levels_of_the_intervals_edges() -> None:
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
def test_it_refuses_invalid_levels(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="quantile levels"):
        ForecastConfig(quantile_levels=levels)


def test_it_refuses_batches_that_the_smallest_training_does_not_fill() -> None:
    with pytest.raises(ValueError, match="do not fill a batch of 512"):
        ForecastConfig(batch_size=512)
