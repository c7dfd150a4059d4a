"""One training from bars to a model: complete result, clear errors, reproducible."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.base import train_base
from forecasting.pipeline.model.calibration import Calibration
from forecasting.pipeline.model.conformal import VETOED
from forecasting.pipeline.model.features import compute_features
from forecasting.pipeline.model.fitting import fit_scaler
from forecasting.pipeline.model.windows import TooFewBarsError, UntrainableError, split_rows
from forecasting.pipeline.progress import Progress
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.trained import BaseModel, TrainedModel
from forecasting.pipeline.training import train
from tests.pipeline.market_data import TINY, simulated_bars

ROOT = Path(__file__).parents[2]
BARS = simulated_bars(200)
SHARED = ("onnx", "weights", "scaler", "trees")


@pytest.fixture(scope="module")
def steps() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def model(steps: list[Progress]) -> TrainedModel:
    return train(BARS, TINY, symbol="KO", progress=steps.append)


def test_the_model_records_its_data(model: TrainedModel) -> None:
    assert (model.symbol, model.config, model.bar_count) == ("KO", TINY, len(BARS))
    assert (model.data_start, model.data_end) == (BARS.index[0].date(), BARS.index[-1].date())
    assert 1 <= model.epochs <= TINY.max_epochs
    assert {"keras", "tensorflow", "onnxruntime"} <= {*model.versions}


def test_the_metrics_are_complete_and_finite(model: TrainedModel) -> None:
    metrics = model.metrics

    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert {*metrics} == {
        *("MAE", "RMSE", "MAPE", "R²", "last_data_date", "training_duration", "training_data_size"),
        *("validation_data_size", "test_size", "naive", "mase", "beats_naive_p", "pinball_ratio", "coverage_80"),
        *("directional_accuracy", "usual_width", "median", "by_horizon"),
    }
    assert metrics["last_data_date"] == BARS.index[-1].date().isoformat()


def test_the_sizes_are_those_of_the_split(model: TrainedModel) -> None:
    split = split_rows(compute_features(BARS, TINY), TINY)

    sizes = tuple(model.metrics[name] for name in ("training_data_size", "validation_data_size", "test_size"))

    assert sizes == (len(split.train), len(split.validation), len(split.test))


def test_the_backtest_is_of_the_newest_sessions(model: TrainedModel) -> None:
    backtest = model.backtest

    assert len(backtest) == model.metrics["test_size"]
    assert backtest["target_date"].iloc[-1] == BARS.index[-1]
    assert (backtest["actual_close"] == BARS.loc[backtest["target_date"], "close"].to_numpy()).all()
    assert (backtest["last_close"] == BARS.loc[backtest["as_of"], "close"].to_numpy()).all()


def test_the_backtests_quantiles_ascend(model: TrainedModel) -> None:
    columns = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]

    assert [*model.backtest.columns[4:]] == columns
    assert (np.diff(model.backtest[columns], axis=1) >= 0).all()


def test_the_served_scaler_uses_all_rows_with_a_target(model: TrainedModel) -> None:
    table = compute_features(BARS, TINY)

    assert model.scaler == fit_scaler(table, range(len(table.dates) - 1))


def test_progress_rises_from_zero_to_one(model: TrainedModel, steps: list[Progress]) -> None:
    fractions = [step.fraction for step in steps]

    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)


def test_progress_names_every_epoch(model: TrainedModel, steps: list[Progress]) -> None:
    fitting = [(step.epoch, step.epochs) for step in steps if step.stage == "fitting"]
    refitting = [(step.epoch, step.epochs) for step in steps if step.stage == "refitting"]

    assert fitting == [(epoch, TINY.max_epochs) for epoch in range(1, len(fitting) + 1)]
    assert refitting == [(epoch, model.epochs) for epoch in range(1, model.epochs + 1)]


def test_fitting_stops_when_validation_has_not_improved_for_long_enough(model: TrainedModel, steps: list[Progress]) -> None:
    fitted = sum(step.stage == "fitting" for step in steps)

    assert fitted == min(model.epochs + TINY.patience, TINY.max_epochs)


def test_too_few_bars_are_refused_with_the_number_needed() -> None:
    with pytest.raises(TooFewBarsError, match=r"KO has 129 bars; at least 130 are needed\."):
        train(BARS.iloc[-129:], TINY, symbol="KO")


def test_the_fewest_bars_allowed_are_enough() -> None:
    assert train(BARS.iloc[-130:], TINY, symbol="KO").metrics["training_data_size"] == TINY.minimum_training_windows


def test_a_constant_price_in_the_test_sessions_is_refused() -> None:
    bars = BARS.copy()
    bars.iloc[-60:, :4] = 10.0

    with pytest.raises(UntrainableError, match="KO has had the same close, 10, for its last 27 sessions"):
        train(bars, TINY, symbol="KO")


def test_a_fit_that_diverges_is_a_failure_with_a_reason() -> None:
    with pytest.raises(UntrainableError, match="KO cannot be fitted: "):
        train(BARS, replace(TINY, learning_rate=1e38), symbol="KO")


@pytest.fixture(scope="module")
def trusting() -> BaseModel:
    """A base with median weight 1, although the data are random walks."""
    base = train_base([(f"S{seed}", simulated_bars(240, seed=seed)) for seed in range(3)], TINY)
    return replace(base, calibration=Calibration(median_weight=1.0, spread=1.0))


def test_a_version_that_starts_from_a_base_has_its_network_and_a_calibration_of_its_own(trusting: BaseModel) -> None:
    steps: list[Progress] = []

    model = train(simulated_bars(300, seed=20), TINY, symbol="KO", base=trusting, progress=steps.append)

    assert (model.from_base, model.epochs) == (True, 0)
    assert [getattr(model, name) for name in SHARED] == [getattr(trusting, name) for name in SHARED]
    assert model.calibration.spread != trusting.calibration.spread
    assert model.calibration.factor != trusting.calibration.factor
    assert [step.stage for step in steps] == ["features", "trained"]


def test_a_network_of_a_symbols_own_does_not_depend_on_the_base_that_was_loaded_before(
    trusting: BaseModel, model: TrainedModel
) -> None:
    train(simulated_bars(300, seed=20), TINY, symbol="PEP", base=trusting)

    assert train(BARS, TINY, symbol="KO").weights == model.weights


def test_a_median_that_is_worse_than_the_last_close_in_the_backtest_gets_weight_zero(trusting: BaseModel) -> None:
    models = [train(simulated_bars(300, seed=seed), TINY, symbol="KO", base=trusting) for seed in range(20, 26)]

    given_up = [model for model in models if model.calibration.median_weight == 0]
    kept = [model for model in models if model.calibration.median_weight == 1]
    assert min(len(given_up), len(kept)) > 0
    assert len(given_up) + len(kept) == len(models)
    assert all(model.metrics["mase"] < 1 for model in kept)
    for model in given_up:
        metrics = model.metrics
        assert (model.backtest["q50"] == model.backtest["last_close"]).all()
        assert (metrics["mase"], metrics["beats_naive_p"], metrics["directional_accuracy"]) == (1, None, None)
        assert metrics["median"] == model.calibration.median_facts
        assert metrics["median"]["reason"] == VETOED
        assert Forecaster(model).forecast(BARS).price == BARS["close"].iloc[-1]


def served(model: TrainedModel, bars: pd.DataFrame) -> list[float]:
    return [*Forecaster(model).forecast(bars).quantiles.values()]


def test_a_later_training_in_the_same_process_gives_the_same_forecasts(model: TrainedModel) -> None:
    train(simulated_bars(180, seed=9), TINY, symbol="PEP")

    again = train(BARS, TINY, symbol="KO")

    assert served(again, BARS) == served(model, BARS)
    assert again.weights == model.weights
    pd.testing.assert_frame_equal(again.backtest, model.backtest, check_exact=True)


def test_a_training_in_a_new_process_gives_the_same_forecasts(model: TrainedModel) -> None:
    script = (
        "import json; from tests.pipeline import test_training as here;"
        "print(json.dumps(here.served(here.train(here.BARS, here.TINY, symbol='KO'), here.BARS)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert json.loads(result.stdout) == served(model, BARS)


def test_a_version_has_the_horizons_of_its_base_with_its_own_record() -> None:
    base = train_base([(f"S{seed}", simulated_bars(170, seed=seed)) for seed in range(2, 5)], TINY)
    model = train(BARS, TINY, symbol="KO", base=base)

    assert model.horizons
    assert base.horizons
    assert model.horizons.with_records(dict.fromkeys((5, 10, 21), (0, 0))) == base.horizons
    for sessions in (5, 10, 21):
        record, tested = model.horizons.of(sessions), model.metrics["by_horizon"][str(sessions)]
        assert record.outcomes == tested["forecasts"] == len(model.backtest) + 1 - sessions
        assert record.covered == round(tested["coverage_80"] * record.outcomes)


def test_without_a_base_the_horizons_are_the_symbols_own(model: TrainedModel) -> None:
    assert model.horizons
    assert [*model.metrics["by_horizon"]] == ["5", "10", "21"]
