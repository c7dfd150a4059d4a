"""Proofs that nothing uses what was not known at the time: later bars are changed, and what came before must not move a bit."""

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.features import compute_features
from forecasting.pipeline.training import evaluate, fit_scaler, make_backtest
from forecasting.pipeline.windows import Split, make_windows, split_rows
from tests.pipeline.market_data import TINY, simulated_bars

BARS = simulated_bars(200)


def changed_after(session: pd.Timestamp) -> pd.DataFrame:
    """The bars, with other prices and volumes in every session after `session`."""
    other = simulated_bars(200, seed=77, volatility=0.2)
    return pd.concat([BARS[BARS.index <= session], other[other.index > session]])


@pytest.fixture(scope="module")
def split() -> Split:
    return split_rows(compute_features(BARS, TINY), TINY)


@pytest.mark.parametrize("position", [25, 100, 198])
def test_features_do_not_know_later_bars(position: int) -> None:
    session = BARS.index[position]
    original, changed = (compute_features(bars, TINY) for bars in (BARS, changed_after(session)))
    known = original.dates <= session

    np.testing.assert_array_equal(changed.features[known], original.features[known])
    np.testing.assert_array_equal(changed.volatility[known], original.volatility[known])


@pytest.mark.parametrize("position", [25, 100, 198])
def test_features_do_not_know_whether_there_are_later_bars(position: int) -> None:
    original, cut = compute_features(BARS, TINY), compute_features(BARS.iloc[: position + 1], TINY)

    np.testing.assert_array_equal(cut.features, original.features[: len(cut.dates)])
    np.testing.assert_array_equal(cut.target[:-1], original.target[: len(cut.dates) - 1])


def test_features_do_not_know_bars_before_their_look_back() -> None:
    original, cut = compute_features(BARS, TINY), compute_features(BARS.iloc[57:], TINY)

    np.testing.assert_array_equal(cut.features, original.features[57:])


def test_the_scaler_knows_training_rows_only(split: Split) -> None:
    original = compute_features(BARS, TINY)
    changed = compute_features(changed_after(original.dates[split.train.stop - 1]), TINY)

    assert fit_scaler(changed, split.train) == fit_scaler(original, split.train)


def test_windows_know_nothing_after_their_row(split: Split) -> None:
    original = compute_features(BARS, TINY)
    changed = compute_features(changed_after(original.dates[split.train.stop - 1]), TINY)
    scaler = fit_scaler(original, split.train)

    np.testing.assert_array_equal(
        make_windows(changed, split.train, scaler, TINY), make_windows(original, split.train, scaler, TINY)
    )


def test_a_test_forecast_does_not_know_later_bars(split: Split) -> None:
    middle = split.test.start + len(split.test) // 2
    original = compute_features(BARS, TINY)
    session = original.dates[middle]
    changed = compute_features(changed_after(session), TINY)

    (expected, expected_epochs), (model, epochs) = (evaluate(table, split, TINY) for table in (original, changed))
    before, after = make_backtest(expected, original, split.test), make_backtest(model, changed, split.test)

    assert (model.scaler, model.calibration, epochs) == (expected.scaler, expected.calibration, expected_epochs)
    known = before["as_of"] <= session
    forecasts = ["as_of", "last_close", "q05", "q10", "q25", "q50", "q75", "q90", "q95"]
    pd.testing.assert_frame_equal(after.loc[known, forecasts], before.loc[known, forecasts], check_exact=True)
    assert not (after["q50"] == before["q50"])[~known].any()
