"""The chronological split and the windows that the network sees."""

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.features import FeatureTable, compute_features
from forecasting.pipeline.windows import Scaler, Split, TooFewBarsError, make_windows, split_rows
from tests.pipeline.market_data import TINY, simulated_bars

UNSCALED = Scaler(mean=(0.0,) * 7, spread=(1.0,) * 7)


def table_of(count: int, config: ForecastConfig = TINY) -> FeatureTable:
    return compute_features(simulated_bars(count), config)


@pytest.fixture
def table() -> FeatureTable:
    return table_of(200)


@pytest.fixture
def split(table: FeatureTable) -> Split:
    return split_rows(table, TINY)


def test_the_parts_follow_each_other_without_gap_or_overlap(split: Split) -> None:
    assert [*split.train, *split.validation, *split.test] == [*split.everything]


def test_the_first_row_has_a_whole_window_and_the_last_a_target(table: FeatureTable, split: Split) -> None:
    assert split.train.start == TINY.window - 1
    assert np.isfinite(table.target[split.test.stop - 1])
    assert np.isnan(table.target[split.test.stop])


def test_a_parts_last_target_is_known_when_the_next_part_begins(table: FeatureTable, split: Split) -> None:
    session_of_last_target = table.dates[split.train.stop - 1 + 1]

    assert session_of_last_target == table.dates[split.validation.start]


def test_the_holdouts_have_their_share_of_the_windows() -> None:
    split = split_rows(table_of(629), TINY)

    assert (len(split.everything), len(split.validation), len(split.test)) == (599, 90, 90)


def test_the_holdouts_have_an_upper_limit() -> None:
    split = split_rows(table_of(1_000), ForecastConfig(maximum_holdout=100))

    assert len(split.validation) == len(split.test) == 100


def test_the_fewest_bars_leave_exactly_the_fewest_windows() -> None:
    config = ForecastConfig()

    split = split_rows(table_of(config.minimum_bars, config), config)

    assert config.minimum_bars == 490
    assert (len(split.train), len(split.validation), len(split.test)) == (250, 60, 60)


def test_a_window_ends_with_the_session_of_its_row(table: FeatureTable) -> None:
    windows = make_windows(table, range(15, 18), UNSCALED, TINY)

    assert windows.shape == (3, TINY.window, 7)
    np.testing.assert_allclose(windows[0], table.features[6:16], rtol=1e-6)
    np.testing.assert_allclose(windows[2], table.features[8:18], rtol=1e-6)


def test_the_windows_are_standardised_and_ready_for_the_network(table: FeatureTable) -> None:
    scaler = Scaler(mean=(1.0,) * 7, spread=(2.0,) * 7)

    windows = make_windows(table, range(15, 16), scaler, TINY)

    assert windows.dtype == np.float32
    assert windows.flags.c_contiguous
    np.testing.assert_allclose(windows[0], (table.features[6:16] - 1) / 2, rtol=1e-6)


def test_too_few_bars_are_reported_in_full() -> None:
    assert str(TooFewBarsError("KO", found=120, needed=490)) == "KO has 120 bars; at least 490 are needed."
