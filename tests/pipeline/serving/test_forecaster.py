"""Serving: from bars to the quantiles of the next close."""

import subprocess
import sys
from collections import deque
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from forecasting.pipeline.evaluation.out_of_sample import make_backtest
from forecasting.pipeline.evaluation.quantiles import quantile_column
from forecasting.pipeline.model.adaptation import RECENT, next_factor
from forecasting.pipeline.model.features import compute_features, tree_inputs
from forecasting.pipeline.model.lead_moves import LeadMove
from forecasting.pipeline.model.leads import LeadModel, own_returns
from forecasting.pipeline.model.tree_columns import tree_columns
from forecasting.pipeline.model.windows import TooFewBarsError
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.verified import ArtifactError
from tests.pipeline.lead_data import exchange_leads
from tests.pipeline.market_data import TINY, flat_bars, serving_model, session_bars, simulated_bars
from tests.pipeline.small_trees import trees_onnx

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster(serving_model())


@pytest.fixture
def bars() -> pd.DataFrame:
    return simulated_bars()


def test_the_quantiles_ascend_and_have_their_levels(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    quantiles = forecaster.forecast(bars).quantiles

    assert [*quantiles] == ["0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95"]
    assert [*quantiles.values()] == sorted(quantiles.values())


def test_price_and_interval_are_quantiles(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    forecast = forecaster.forecast(bars)

    assert forecast.price == forecast.quantiles["0.5"]
    assert (forecast.interval_low, forecast.interval_high) == (forecast.quantiles["0.1"], forecast.quantiles["0.9"])
    assert forecast.interval_level == 0.8


def test_it_starts_from_the_last_bar(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    forecast = forecaster.forecast(bars)

    assert forecast.as_of == bars.index[-1].date()
    assert forecast.last_close == bars["close"].iloc[-1]


def test_the_calibration_is_applied(bars: pd.DataFrame) -> None:
    naive = Forecaster(serving_model(median_weight=0.0)).forecast(bars)

    assert naive.price == naive.last_close
    assert naive.probability_up == pytest.approx(0.5)


def test_the_last_bars_needed_give_the_forecast_of_the_whole_history(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    assert forecaster.bars_needed == 30
    assert forecaster.forecast(bars.iloc[-30:]) == forecaster.forecast(bars)


def test_with_trees_older_bars_count_but_no_more_are_needed() -> None:
    forecaster = Forecaster(serving_model(trees=trees_onnx()))
    long = simulated_bars(400)

    assert (forecaster.bars_needed, forecaster.bars_used) == (30, 275)
    assert forecaster.forecast(long.iloc[-275:]) == forecaster.forecast(long)
    assert forecaster.forecast(long.iloc[-30:]).last_close == long["close"].iloc[-1]


def test_the_quantiles_are_the_weighted_mean_of_network_and_trees(bars: pd.DataFrame) -> None:
    table = compute_features(bars, TINY)
    rows = range(50, 60)
    (by_trees,) = onnxruntime.InferenceSession(trees_onnx()).run(None, {"columns": tree_inputs(table, rows, TINY)})
    by_network = Forecaster(serving_model()).standardised_quantiles(table, rows)

    mixed = Forecaster(serving_model(trees=trees_onnx())).standardised_quantiles(table, rows)

    np.testing.assert_allclose(mixed, 0.4 * by_network + 0.6 * by_trees, rtol=1e-6)
    assert (np.diff(mixed, axis=1) > 0).all()


def test_the_calendar_of_the_exchange_decides_how_far_the_next_session_is() -> None:
    bars = session_bars(400)
    ends = {name: bars.loc[:day] for name, day in (("holiday", "2021-02-12"), ("usual", "2021-02-11"))}
    forecaster = Forecaster(serving_model(trees=trees_onnx()))

    whole = compute_features(bars, TINY, exchange="XNYS")
    for name, history in ends.items():
        row = len(history) - 1 - TINY.warm_up
        assert tree_inputs(whole, range(row, row + 1), TINY)[0, tree_columns(TINY).index("days_ahead")] == (
            4 if name == "holiday" else 1
        )
        expected = forecaster.forecast_rows(whole, range(row, row + 1))[0]
        served = forecaster.forecast(history, exchange="XNYS")
        assert [*served.quantiles.values()] == (served.last_close * np.exp(expected)).tolist()


def test_one_bar_too_few_is_refused(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    with pytest.raises(TooFewBarsError, match="This history has 29 bars; at least 30 are needed"):
        forecaster.forecast(bars.iloc[-29:])


@pytest.mark.parametrize("trees", [False, True])
def test_a_backtest_row_is_the_forecast_that_was_served_that_day(*, trees: bool) -> None:
    bars = simulated_bars(400)
    model = serving_model(trees=trees_onnx() if trees else None)
    forecaster = Forecaster(model)
    table = compute_features(bars, TINY)

    backtest, _ = make_backtest(model, table, range(260, 300))

    columns = [quantile_column(level) for level in TINY.quantile_levels]
    recent: deque[bool] = deque(maxlen=RECENT)
    factor = forecaster.first_factor
    for as_of, actual, *expected in backtest[["as_of", "actual_close", *columns]].to_numpy().tolist():
        served = forecaster.forecast(bars.loc[:as_of], factor=factor)
        assert [*served.quantiles.values()] == expected
        recent.append(served.interval_low <= actual <= served.interval_high)
        factor = next_factor(factor, recent, level=TINY.interval_level)


def test_a_factor_stretches_the_distances_from_the_median(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    usual, wide = forecaster.forecast(bars), forecaster.forecast(bars, factor=1.5)

    assert wide.price == usual.price
    for level, price in usual.quantiles.items():
        assert np.log(wide.quantiles[level] / wide.price) == pytest.approx(1.5 * np.log(price / usual.price))


def test_horizons_with_a_factor_come_after_the_next_session(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    every, some = (forecaster.forecasts(bars, factors=dict.fromkeys(horizons, 1.0)) for horizons in ((1, 5, 10, 21), (1, 10)))

    assert [each.horizon for each in every] == [1, 5, 10, 21]
    assert some == [every[0], every[2]]
    assert every[0] == forecaster.forecast(bars)


def test_a_factor_stretches_its_horizon_only(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    usual = forecaster.forecasts(bars, factors={1: 1.0, 5: 1.0, 10: 1.0, 21: 1.0})
    changed = forecaster.forecasts(bars, factors={1: 1.0, 5: 1.0, 10: 1.5, 21: 1.0})

    assert [new == old for new, old in zip(changed, usual, strict=True)] == [True, True, False, True]
    assert np.log(changed[2].interval_low / changed[2].price) == pytest.approx(1.5 * np.log(usual[2].interval_low / usual[2].price))


def test_all_horizons_of_the_last_bars_are_those_of_the_whole_history(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    factors = {1: 1.0, 5: 1.0, 10: 1.0, 21: 1.0}

    assert forecaster.forecasts(bars.iloc[-30:], factors=factors) == forecaster.forecasts(bars, factors=factors)


def test_tails_are_as_far_from_the_median_as_the_calibration_says(bars: pd.DataFrame) -> None:
    model = serving_model()
    forecast = Forecaster(replace(model, calibration=replace(model.calibration, tail=1.5))).forecast(bars, factor=1.2)

    log_prices = {level: np.log(price / forecast.price) for level, price in forecast.quantiles.items()}
    assert log_prices["0.01"] == pytest.approx(1.5 * log_prices["0.05"])
    assert log_prices["0.99"] == pytest.approx(1.5 * log_prices["0.95"])
    assert [*forecast.quantiles] == ["0.01", "0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95", "0.99"]


def test_a_price_that_never_moves_gives_a_narrow_finite_forecast(forecaster: Forecaster) -> None:
    forecast = forecaster.forecast(flat_bars())

    assert 9.9 < forecast.interval_low <= forecast.price <= forecast.interval_high < 10.1


def test_a_folder_that_is_not_there_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        Forecaster.load(tmp_path, {})


def test_serving_loads_nothing_that_only_training_needs() -> None:
    script = (
        "import sys; import forecasting.pipeline.serving.forecaster;"
        "print({'keras', 'tensorflow', 'sklearn', 'scipy', 'django'} & {*sys.modules})"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert result.stdout.strip() == "set()"


def test_a_lead_moves_the_forecast_and_changes_its_width(forecaster: Forecaster, bars: pd.DataFrame) -> None:
    move = LeadMove(symbol="SPY", session=date(2024, 7, 3), percentage=-1.0, standardised=-1.5)
    lead = LeadModel({"XTKS": exchange_leads()}).lead("9984.T", "XTKS", (move,))
    assert lead
    close, led = forecaster.forecast(bars), forecaster.forecast(bars, lead=lead)
    table = compute_features(bars, TINY)
    shift = table.volatility[-1] * (0.3 * -1.5 - 0.1 * own_returns(table, TINY)[-1])

    assert np.log(led.price / close.price) == pytest.approx(shift)
    assert np.log(led.interval_high / led.price) == pytest.approx((0.8 + 0.1 * 1.5) * np.log(close.interval_high / close.price))
    assert led.probability_up < close.probability_up
    assert (led.as_of, led.last_close) == (close.as_of, close.last_close)


def test_the_online_factor_of_a_lead_forecast_stretches_it_around_its_own_median(
    forecaster: Forecaster, bars: pd.DataFrame
) -> None:
    move = LeadMove(symbol="SPY", session=date(2024, 7, 3), percentage=1.0, standardised=2.0)
    lead = LeadModel({"XTKS": exchange_leads()}).lead("9984.T", "XTKS", (move,))
    usual, wide = forecaster.forecast(bars, lead=lead), forecaster.forecast(bars, lead=lead, factor=1.5)

    assert wide.price == usual.price
    assert np.log(wide.interval_low / wide.price) == pytest.approx(1.5 * np.log(usual.interval_low / usual.price))
