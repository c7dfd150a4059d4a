"""The base model: one network of many symbols, independent of later days, with bounded memory."""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.base import train_base
from forecasting.pipeline.model.conformal import BETTER, VETOED
from forecasting.pipeline.model.windows import UntrainableError
from forecasting.pipeline.progress import Progress
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.trained import BaseModel
from forecasting.pipeline.training import train
from tests.pipeline.market_data import TINY, simulated_bars

CAPPED = replace(TINY, base_bars=1_000, base_epochs=1)
HISTORIES = [(f"S{seed}", simulated_bars(240, seed=seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def steps() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def base(steps: list[Progress]) -> BaseModel:
    return train_base(HISTORIES, TINY, progress=steps.append)


def test_it_records_its_data(base: BaseModel) -> None:
    bars = HISTORIES[0][1]

    assert (base.symbols, base.bar_count) == (("S0", "S1", "S2"), 720)
    assert (base.data_start, base.data_end) == (bars.index[0].date(), bars.index[-1].date())
    assert base.data_start < base.seen.fitted_through < base.seen.calibrated_through < base.data_end


def test_its_scores_are_finite_and_of_all_symbols(base: BaseModel) -> None:
    metrics = base.metrics

    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert metrics["symbols"] == 3
    sizes = [metrics[name] for name in ("training_data_size", "validation_data_size", "test_size")]
    assert sum(sizes) == 3 * (240 - TINY.warm_up - TINY.window)


def test_it_measures_every_horizon_out_of_sample(base: BaseModel) -> None:
    metrics = base.metrics["by_horizon"]

    assert [*metrics] == ["5", "10", "21"]
    for sessions, measured in metrics.items():
        assert measured["forecasts"] == base.metrics["test_size"] - 3 * (int(sessions) - 1)
        assert 0.2 < measured["coverage_80"] <= 1
        assert 0.7 < measured["pinball_ratio"] < 1.5


def test_it_serves(base: BaseModel) -> None:
    forecast = Forecaster(base).forecast(HISTORIES[0][1])

    assert forecast.interval_low < forecast.last_close < forecast.interval_high


def test_progress_rises_from_zero_to_one(base: BaseModel, steps: list[Progress]) -> None:
    fractions = [step.fraction for step in steps]

    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert [step.epoch for step in steps if step.stage == "refitting"] == [*range(1, TINY.base_epochs + 1)]


def test_the_same_seed_gives_the_same_base_to_the_last_bit(base: BaseModel) -> None:
    train(simulated_bars(180, seed=9), TINY, symbol="PEP")  # earlier fits have no effect

    again = train_base(iter(HISTORIES), TINY)

    assert (again.onnx, again.trees, again.weights, again.earlier) == (base.onnx, base.trees, base.weights, base.earlier)
    assert (again.scaler, again.calibration) == (base.scaler, base.calibration)
    assert (again.horizons, again.earlier_horizons) == (base.horizons, base.earlier_horizons)


def test_the_earlier_fit_is_another_one(base: BaseModel) -> None:
    assert base.earlier.weights != base.weights
    assert base.earlier.scaler != base.scaler
    assert base.earlier.trees != base.trees


def test_a_history_that_is_too_short_is_left_out(base: BaseModel) -> None:
    short = ("SHORT", simulated_bars(TINY.minimum_bars - 1, seed=8))

    again = train_base([HISTORIES[0], short, *HISTORIES[1:]], TINY)

    assert (again.symbols, again.weights) == (base.symbols, base.weights)


def test_no_history_that_is_long_enough_is_refused_with_the_number_needed() -> None:
    with pytest.raises(UntrainableError, match="needs a symbol with at least 130 bars; there is none"):
        train_base([("SHORT", simulated_bars(129))], TINY)


def test_too_few_windows_to_fit_on_are_refused_with_the_number_needed() -> None:
    with pytest.raises(UntrainableError, match="has 60 windows to fit on; 100000 are needed"):
        train_base([("KO", simulated_bars(130))], replace(TINY, base_batch=100_000))


def test_a_fit_that_diverges_is_a_failure_with_a_reason() -> None:
    with pytest.raises(UntrainableError, match="The base model cannot be fitted: "), np.errstate(all="ignore"):
        train_base(HISTORIES, replace(TINY, base_rate=1e38))


def trending(*, seed: int, turns: bool) -> pd.DataFrame:
    """Bars that rise by half their volatility per day; if the trend turns, those of the test sessions fall."""
    bars = simulated_bars(400, seed=seed)
    daily = np.full(400, 0.01)
    if turns:
        daily[-60:] *= -1
    return bars.assign(**{name: bars[name] * np.exp(np.cumsum(daily)) for name in ("open", "high", "low", "close")})


@pytest.mark.parametrize("turns", [False, True])
def test_a_median_serves_if_later_validation_days_confirm_it_and_the_test_sessions_do_not_veto_it(*, turns: bool) -> None:
    config = replace(TINY, minimum_holdout=60, base_epochs=12)

    base = train_base([(f"S{seed}", trending(seed=seed, turns=turns)) for seed in range(3)], config)

    median = base.metrics["median"]
    assert median["tried"] > 0
    assert median["p"] < 0.05
    assert median["p_by_exchange"] == {"XNYS": median["p"]}
    assert median["weight"] == base.calibration.median_weight == (0 if turns else median["tried"])
    assert median["reason"] == (VETOED if turns else BETTER)
    constants = (base.metrics["beats_naive_p"], base.metrics["directional_accuracy"])
    assert constants == (None, None) if turns else constants > (0, 0.5)
    assert (base.metrics["mase"] == 1) if turns else (base.metrics["mase"] < 1)


def test_a_symbol_with_a_constant_price_is_fitted_but_not_evaluated() -> None:
    still = simulated_bars(240, seed=9)
    still.iloc[-80:, :4] = 10.0

    base = train_base([*HISTORIES, ("STILL", still)], TINY)

    assert base.symbols[-1] == "STILL"
    assert base.metrics["symbols"] == 3
    json.dumps(base.metrics, allow_nan=False)


def test_a_base_without_test_sessions_is_refused() -> None:
    still = simulated_bars(200)
    still.iloc[-80:, :4] = 10.0

    with pytest.raises(UntrainableError, match="no symbol with enough test sessions"):
        train_base([("STILL", still)], TINY)


def test_symbols_of_other_dates_share_the_days_of_the_split() -> None:
    listed, delisted = simulated_bars(340, seed=5).iloc[140:], simulated_bars(340, seed=6).iloc[:240]

    base = train_base([("OLD", simulated_bars(340, seed=4)), ("NEW", listed), ("GONE", delisted)], TINY)

    assert base.metrics["symbols"] == 2
    assert base.symbols == ("OLD", "NEW", "GONE")


def read_counting(bars: pd.DataFrame, count: int, read: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    for number in range(count):
        read.append(f"S{number}")
        yield f"S{number}", bars.copy()


def test_histories_beyond_the_most_bars_are_not_read() -> None:
    read: list[str] = []

    base = train_base(read_counting(simulated_bars(200), 1_000, read), CAPPED)

    assert base.symbols == tuple(f"S{number}" for number in range(5))
    assert len(read) == 6  # the last one is read to see that it exceeds the limit


def peak_bytes(symbols: int) -> int:
    histories = read_counting(simulated_bars(200), symbols, [])
    tracemalloc.start()
    try:
        train_base(histories, CAPPED)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_symbols_beyond_the_most_bars() -> None:
    peak_bytes(10)  # builds and compiles the network

    assert peak_bytes(400) < 1.1 * peak_bytes(10)
