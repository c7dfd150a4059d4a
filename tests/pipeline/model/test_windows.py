"""The chronological split and the windows of the network's input."""

from datetime import date

import numpy as np
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.features import FeatureTable, compute_features
from forecasting.pipeline.model.windows import (
    NoRoomError,
    Scaler,
    Seen,
    Split,
    TooFewBarsError,
    joined,
    make_examples,
    make_windows,
    split_rows,
    split_rows_at,
)
from tests.pipeline.market_data import TINY, simulated_bars

COLUMNS = len(TINY.features)
UNSCALED = Scaler(mean=(0.0,) * COLUMNS, spread=(1.0,) * COLUMNS)


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

    assert config.minimum_bars == 496
    assert (len(split.train), len(split.validation), len(split.test)) == (250, 60, 60)


def test_a_window_ends_with_the_session_of_its_row(table: FeatureTable) -> None:
    windows = make_windows(table, range(15, 18), UNSCALED, TINY)

    assert windows.shape == (3, TINY.window, COLUMNS)
    np.testing.assert_allclose(windows[0], table.features[6:16], rtol=1e-6)
    np.testing.assert_allclose(windows[2], table.features[8:18], rtol=1e-6)


def test_the_windows_are_standardised_and_ready_for_the_network(table: FeatureTable) -> None:
    scaler = Scaler(mean=(1.0,) * COLUMNS, spread=(2.0,) * COLUMNS)

    windows = make_windows(table, range(15, 16), scaler, TINY)

    assert windows.dtype == np.float32
    assert windows.flags.c_contiguous
    np.testing.assert_allclose(windows[0], (table.features[6:16] - 1) / 2, rtol=1e-6)


def test_outliers_are_clipped(table: FeatureTable) -> None:
    narrow = Scaler(mean=(0.0,) * COLUMNS, spread=(1e-9,) * COLUMNS)

    windows = make_windows(table, range(15, 18), narrow, TINY)

    assert (windows.min(), windows.max()) == (-8, 8)


def test_examples_hold_the_windows_and_targets_of_their_rows(table: FeatureTable) -> None:
    examples = make_examples(table, range(15, 40), UNSCALED, TINY)

    assert len(examples) == 25
    np.testing.assert_array_equal(examples.batch(np.arange(25)), make_windows(table, range(15, 40), UNSCALED, TINY))
    np.testing.assert_array_equal(examples.last_sessions, table.features[15:40].astype(np.float32))
    np.testing.assert_array_equal(examples.target, table.target[15:40].astype(np.float32))


def test_examples_keep_each_session_once(table: FeatureTable) -> None:
    assert len(make_examples(table, range(15, 40), UNSCALED, TINY).values) == 25 + TINY.window - 1


def test_joined_examples_are_those_of_each_symbol_in_turn(table: FeatureTable) -> None:
    parts = [make_examples(table, rows, UNSCALED, TINY) for rows in (range(15, 40), range(9, 12), range(100, 130))]

    whole = joined(parts)

    np.testing.assert_array_equal(
        whole.batch(np.arange(len(whole))), np.concatenate([part.batch(np.arange(len(part))) for part in parts])
    )
    np.testing.assert_array_equal(whole.target, np.concatenate([part.target for part in parts]))


def test_batches_have_one_size_the_last_one_filled_up(table: FeatureTable) -> None:
    examples = make_examples(table, range(15, 40), UNSCALED, TINY)

    batches = [*examples.batches(16)]

    assert [len(batch) for batch in batches] == [16, 16]
    windows = examples.batch(np.arange(25))
    np.testing.assert_array_equal(np.concatenate(batches)[:25], windows)
    assert (np.concatenate(batches)[25:] == windows[-1]).all()


def day(table: FeatureTable, row: int) -> date:
    return table.dates[row].date()


def test_a_base_that_has_seen_little_changes_no_split(table: FeatureTable, split: Split) -> None:
    seen = Seen(fitted_through=day(table, 30), calibrated_through=day(table, 60))

    assert split_rows(table, TINY, seen=seen) == split


def test_no_target_of_the_test_rows_was_used_to_calibrate_the_base(table: FeatureTable, split: Split) -> None:
    calibrated = split.test.start + 3

    later = split_rows(table, TINY, seen=Seen(day(table, 60), day(table, calibrated)))

    assert later.test == range(calibrated, split.test.stop)
    assert len(later.validation) == len(split.validation)


def test_no_target_of_the_validation_rows_was_used_to_fit_the_base(table: FeatureTable, split: Split) -> None:
    fitted = split.validation.start + 3

    later = split_rows(table, TINY, seen=Seen(day(table, fitted), day(table, split.test.start)))

    assert (later.validation, later.test) == (range(fitted, split.test.start), split.test)
    assert later.train == range(split.train.start, fitted)


@pytest.mark.parametrize(("fitted", "calibrated"), [(-22, -21), (-42, -20), (-40, -21)])
def test_a_base_that_has_seen_nearly_all_rows_is_refused(table: FeatureTable, fitted: int, calibrated: int) -> None:
    with pytest.raises(NoRoomError, match="are too few for validation and test"):
        split_rows(table, TINY, seen=Seen(day(table, fitted), day(table, calibrated)))


def test_the_minimum_of_unseen_rows_is_enough(table: FeatureTable) -> None:
    split = split_rows(table, TINY, seen=Seen(day(table, -41), day(table, -21)))

    assert (len(split.validation), len(split.test)) == (TINY.minimum_holdout, TINY.minimum_holdout)


def test_many_symbols_are_split_at_the_same_dates(table: FeatureTable) -> None:
    seen = Seen(day(table, 100), day(table, 140))
    shorter = table_of(170)

    assert split_rows_at(table, TINY, seen) == Split(range(9, 100), range(100, 140), range(140, 179))
    assert split_rows_at(shorter, TINY, seen) == Split(range(9, 100), range(100, 140), range(140, 149))


@pytest.mark.parametrize("ends", [(-300, -200), (400, 500)])
def test_a_symbol_outside_of_the_dates_is_in_one_part_only(table: FeatureTable, ends: tuple[int, int]) -> None:
    seen = Seen(*((table.dates[100] + np.timedelta64(2 * end, "D")).date() for end in ends))

    split = split_rows_at(table, TINY, seen)

    assert len(split.everything) == max(len(split.train), len(split.test))


def test_a_target_after_a_closed_day_is_not_in_the_part_that_ends_on_that_day(table: FeatureTable) -> None:
    closed = table.dates[100]
    without = compute_features(simulated_bars(200).drop(closed), TINY)

    split = split_rows_at(without, TINY, Seen(closed.date(), day(table, 140)))

    assert without.dates[split.train.stop] <= closed  # the last target of the fit happens before the closed day ...
    assert without.dates[split.train.stop + 1] > closed  # ... and the next one's after it


def test_too_few_bars_are_reported_in_full() -> None:
    assert str(TooFewBarsError("KO", found=120, needed=496)) == "KO has 120 bars; at least 496 are needed."
