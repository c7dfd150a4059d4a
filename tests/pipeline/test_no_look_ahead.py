"""Tests against look-ahead: changes or removal of later bars must not change earlier results.

Every comparison is exact, to the bit.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.base import train_base
from forecasting.pipeline.evaluation.backtest import Period, historical_forecasts, in_one
from forecasting.pipeline.evaluation.out_of_sample import make_backtest
from forecasting.pipeline.model.features import compute_features, tree_inputs
from forecasting.pipeline.model.fitting import fit_scaler
from forecasting.pipeline.model.windows import Split, make_windows, split_rows
from forecasting.pipeline.serving.trained import BaseModel
from forecasting.pipeline.training import evaluate, refit, train
from forecasting.prices.bars import between
from tests.pipeline.market_data import TINY, simulated_bars

BARS = simulated_bars(200)
SYMBOLS = {f"S{seed}": simulated_bars(260, seed=seed) for seed in range(3)}
DAYS = SYMBOLS["S0"].index
THROUGH = DAYS[199].date()
FORECASTS = ["as_of", "last_close", "q05", "q10", "q25", "q50", "q75", "q90", "q95"]


def changed_after(session: pd.Timestamp, bars: pd.DataFrame = BARS) -> pd.DataFrame:
    """The bars with other prices and volumes in every session after `session`."""
    other = simulated_bars(len(bars), seed=77, volatility=0.2)
    return pd.concat([bars[bars.index <= session], other[other.index > session]])


@pytest.fixture(scope="module")
def split() -> Split:
    return split_rows(compute_features(BARS, TINY), TINY)


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return base_of({symbol: between(bars, first=None, last=THROUGH) for symbol, bars in SYMBOLS.items()})


def base_of(symbols: dict[str, pd.DataFrame]) -> BaseModel:
    return train_base(symbols.items(), TINY)


@pytest.mark.parametrize("position", [25, 100, 198])
def test_features_do_not_depend_on_later_bars(position: int) -> None:
    session = BARS.index[position]
    original, changed = (compute_features(bars, TINY) for bars in (BARS, changed_after(session)))
    known = original.dates <= session

    np.testing.assert_array_equal(changed.features[known], original.features[known])
    np.testing.assert_array_equal(changed.volatility[known], original.volatility[known])
    np.testing.assert_array_equal(changed.target[known][:-1], original.target[known][:-1])
    rows = range(int(known.sum()))
    np.testing.assert_array_equal(tree_inputs(changed, rows, TINY), tree_inputs(original, rows, TINY))


@pytest.mark.parametrize("position", [25, 100, 198])
def test_features_do_not_depend_on_the_existence_of_later_bars(position: int) -> None:
    original, cut = compute_features(BARS, TINY), compute_features(BARS.iloc[: position + 1], TINY)

    np.testing.assert_array_equal(cut.features, original.features[: len(cut.dates)])
    np.testing.assert_array_equal(cut.target[:-1], original.target[: len(cut.dates) - 1])
    rows = range(len(cut.dates))
    np.testing.assert_array_equal(tree_inputs(cut, rows, TINY), tree_inputs(original, rows, TINY))


def test_features_do_not_depend_on_bars_before_their_look_back() -> None:
    original, cut = compute_features(BARS, TINY), compute_features(BARS.iloc[57:], TINY)

    np.testing.assert_array_equal(cut.features, original.features[57:])


def test_the_scaler_uses_only_training_rows(split: Split) -> None:
    original = compute_features(BARS, TINY)
    changed = compute_features(changed_after(original.dates[split.train.stop - 1]), TINY)

    assert fit_scaler(changed, split.train) == fit_scaler(original, split.train)


def test_windows_do_not_depend_on_later_rows(split: Split) -> None:
    original = compute_features(BARS, TINY)
    changed = compute_features(changed_after(original.dates[split.train.stop - 1]), TINY)
    scaler = fit_scaler(original, split.train)

    np.testing.assert_array_equal(
        make_windows(changed, split.train, scaler, TINY), make_windows(original, split.train, scaler, TINY)
    )


@pytest.mark.parametrize("from_base", [False, True])
def test_fit_and_calibration_do_not_depend_on_the_test_sessions(split: Split, base: BaseModel, *, from_base: bool) -> None:
    start = base if from_base else None
    original = compute_features(BARS, TINY)
    first_test_session = original.dates[split.test.start]  # day of the last validation target
    changed = compute_features(changed_after(first_test_session), TINY)

    (expected, epochs), (model, other_epochs) = (evaluate(table, split, TINY, start) for table in (original, changed))

    assert (model, other_epochs) == (expected, epochs)


@pytest.mark.parametrize("from_base", [False, True])
def test_a_test_forecast_does_not_depend_on_later_bars(split: Split, base: BaseModel, *, from_base: bool) -> None:
    start = base if from_base else None
    original = compute_features(BARS, TINY)
    session = original.dates[split.test.start + len(split.test) // 2]
    changed = compute_features(changed_after(session), TINY)
    model, _ = evaluate(original, split, TINY, start)

    (before, _), (after, _) = (make_backtest(model, table, split.test) for table in (original, changed))

    known = before["as_of"] <= session
    pd.testing.assert_frame_equal(after.loc[known, FORECASTS], before.loc[known, FORECASTS], check_exact=True)
    assert not (after["q10"] == before["q10"])[~known].any()


def test_the_refit_does_not_depend_on_bars_after_its_last_target(split: Split) -> None:
    # One session longer than the split, so that the last bar is not a target.
    longer = simulated_bars(201)
    original, changed = (compute_features(bars, TINY) for bars in (longer, changed_after(longer.index[199], longer)))
    assert original.dates[split.everything.stop] == longer.index[199]
    evaluated, epochs = evaluate(original, split, TINY)

    expected, model = (refit(evaluated, table, split, epochs) for table in (original, changed))

    assert model == expected


def test_the_bases_earlier_fit_does_not_depend_on_later_days(base: BaseModel) -> None:
    known = {symbol: between(bars, first=None, last=THROUGH) for symbol, bars in SYMBOLS.items()}
    fitted = pd.Timestamp(base.seen.fitted_through)

    other = base_of({symbol: changed_after(fitted, bars) for symbol, bars in known.items()})

    assert (other.seen, other.earlier) == (base.seen, base.earlier)
    assert other.calibration != base.calibration
    assert other.earlier_horizons != base.earlier_horizons
    assert other.weights != base.weights
    assert other.trees != base.trees


def test_the_bases_calibration_does_not_depend_on_later_days(base: BaseModel) -> None:
    known = {symbol: between(bars, first=None, last=THROUGH) for symbol, bars in SYMBOLS.items()}
    calibrated = pd.Timestamp(base.seen.calibrated_through)

    other = base_of({symbol: changed_after(calibrated, bars) for symbol, bars in known.items()})

    assert (other.earlier, other.calibration) == (base.earlier, base.calibration)
    assert other.earlier_horizons == base.earlier_horizons
    assert other.weights != base.weights
    assert other.trees != base.trees
    assert other.horizons != base.horizons


def test_a_closed_day_of_one_exchange_does_not_leak_the_next_day_to_the_base(base: BaseModel) -> None:
    known = {symbol: between(bars, first=None, last=THROUGH) for symbol, bars in SYMBOLS.items()}
    fitted = pd.Timestamp(base.seen.fitted_through)
    closed = known["S1"].drop(fitted)  # its previous row has a target on a validation day of other symbols

    original = base_of(known | {"S1": closed})
    other = base_of(known | {"S1": changed_after(fitted, closed)})

    assert (other.seen, other.earlier) == (original.seen, original.earlier)


def test_a_versions_metrics_use_only_rows_that_its_base_has_not_seen(base: BaseModel) -> None:
    later = {symbol: train(bars, TINY, symbol=symbol, base=base) for symbol, bars in SYMBOLS.items()}

    for symbol, model in later.items():
        assert model.from_base
        assert (model.backtest["as_of"] >= pd.Timestamp(base.seen.calibrated_through)).all()
        validation = model.metrics["validation_data_size"]
        first_test = SYMBOLS[symbol].index.get_loc(model.backtest["as_of"].iloc[0])
        assert SYMBOLS[symbol].index[first_test - validation] >= pd.Timestamp(base.seen.fitted_through)


def test_a_versions_metrics_do_not_depend_on_the_refit_of_its_base(base: BaseModel) -> None:
    known = {symbol: between(bars, first=None, last=THROUGH) for symbol, bars in SYMBOLS.items()}
    calibrated = pd.Timestamp(base.seen.calibrated_through)
    other = base_of({symbol: changed_after(calibrated, bars) for symbol, bars in known.items()})

    model, same = (train(known["S0"], TINY, symbol="S0", base=start) for start in (base, other))

    pd.testing.assert_frame_equal(same.backtest, model.backtest, check_exact=True)
    assert same.onnx != model.onnx
    assert same.trees != model.trees


def test_a_version_is_evaluated_with_the_earlier_trees_of_its_base_and_served_with_all(base: BaseModel, split: Split) -> None:
    table = compute_features(BARS, TINY)

    evaluated, epochs = evaluate(table, split, TINY, base)
    served, _ = refit(evaluated, table, split, epochs, base)

    assert (evaluated.trees, served.trees) == (base.earlier.trees, base.trees)


def test_a_history_that_the_base_has_seen_completely_is_trained_from_scratch(base: BaseModel) -> None:
    old = SYMBOLS["S0"].iloc[:190]

    model, alone = (train(old, TINY, symbol="S0", base=start) for start in (base, None))

    assert not model.from_base
    assert model.weights == alone.weights
    pd.testing.assert_frame_equal(model.backtest, alone.backtest, check_exact=True)


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One kind of backtest, and its result for unchanged bars."""

    base: BaseModel | None
    own_versions: bool
    whole: pd.DataFrame


def forecasts(
    symbols: dict[str, pd.DataFrame], base: BaseModel | None, *, own_versions: bool, last: int = -1, sessions: int = 1
) -> pd.DataFrame:
    period = Period(through=THROUGH, first=DAYS[203].date(), last=DAYS[last].date())
    reasons: dict[str, str] = {}
    each = historical_forecasts(
        symbols.items(), period, TINY, base=base, own_versions=own_versions, skipped=reasons.__setitem__, sessions=sessions
    )
    frames = [*each]
    assert not reasons
    return in_one(frames)


def up_to(frame: pd.DataFrame, session: pd.Timestamp) -> pd.DataFrame:
    return frame[frame["as_of"] <= session].reset_index(drop=True)


@pytest.fixture(scope="module", params=["own versions", "the base alone", "from nothing"])
def way(request: pytest.FixtureRequest, base: BaseModel) -> Way:
    start, own_versions = None if request.param == "from nothing" else base, request.param != "the base alone"
    return Way(start, own_versions, forecasts(SYMBOLS, start, own_versions=own_versions))


@pytest.mark.parametrize("position", [205, 240, 258])
def test_a_backtest_does_not_depend_on_the_existence_of_later_bars(way: Way, position: int) -> None:
    session = DAYS[position]
    cut = {symbol: bars[bars.index <= session] for symbol, bars in SYMBOLS.items()}

    known = forecasts(cut, way.base, own_versions=way.own_versions)

    assert known["as_of"].max() == session
    pd.testing.assert_frame_equal(known, up_to(way.whole, session), check_exact=True)


@pytest.mark.parametrize("position", [205, 240, 258])
def test_a_backtest_does_not_depend_on_the_values_of_later_bars(way: Way, position: int) -> None:
    session = DAYS[position]
    changed = {symbol: changed_after(session, bars) for symbol, bars in SYMBOLS.items()}

    other = forecasts(changed, way.base, own_versions=way.own_versions)

    pd.testing.assert_frame_equal(up_to(other, session), up_to(way.whole, session), check_exact=True)
    assert not (other["q10"] == way.whole["q10"])[way.whole["as_of"] > session].any()


def test_a_backtest_does_not_depend_on_its_end(way: Way) -> None:
    short = forecasts(SYMBOLS, way.base, own_versions=way.own_versions, last=230)

    pd.testing.assert_frame_equal(short, up_to(way.whole, DAYS[230]), check_exact=True)


@pytest.mark.parametrize("position", [225, 240, 258])
@pytest.mark.parametrize("sessions", [5, 10, 21])
def test_a_backtest_of_several_sessions_does_not_depend_on_later_bars(way: Way, sessions: int, position: int) -> None:
    session = DAYS[position]
    changed = {symbol: changed_after(session, bars) for symbol, bars in SYMBOLS.items()}

    whole, other = (forecasts(symbols, way.base, own_versions=False, sessions=sessions) for symbols in (SYMBOLS, changed))

    pd.testing.assert_frame_equal(up_to(other, session), up_to(whole, session), check_exact=True)


def test_a_symbol_that_was_listed_later_tells_the_earlier_horizons_nothing() -> None:
    config = replace(TINY, test_share=0.3, base_epochs=1)
    known = {f"S{seed}": simulated_bars(600, seed=seed) for seed in range(2)}
    late = simulated_bars(600, seed=9).iloc[450:]

    without, beside = (train_base(symbols.items(), config) for symbols in (known, known | {"LATE": late}))

    assert late.index[0].date() > beside.seen.calibrated_through == without.seen.calibrated_through
    assert beside.earlier_horizons == without.earlier_horizons
    assert beside.horizons != without.horizons
