"""Backtests at one date: data that they may use, symbols that they skip, and the format of the result."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.base import train_base
from forecasting.pipeline.evaluation.backtest import BaseKnowsTooMuchError, History, Period, historical_forecasts, in_one
from forecasting.pipeline.model.adaptation import adapted
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.trained import BaseModel
from forecasting.pipeline.training import train
from forecasting.prices.bars import between
from tests.pipeline.market_data import TINY, simulated_bars

HISTORIES = [(f"S{seed}", simulated_bars(260, seed=seed)) for seed in range(3)]
DAYS = HISTORIES[0][1].index
QUANTILES = ["q01", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q99"]
PERIOD = Period(through=DAYS[199].date(), first=DAYS[205].date(), last=DAYS[249].date())


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return train_base(((symbol, between(bars, first=None, last=PERIOD.through)) for symbol, bars in HISTORIES), TINY)


def run(
    histories: list[History], base: BaseModel | None, *, period: Period = PERIOD, own_versions: bool = True
) -> tuple[pd.DataFrame, dict[str, str]]:
    """All forecasts, and the reasons for skipped symbols."""
    reasons: dict[str, str] = {}
    frames = historical_forecasts(histories, period, TINY, base=base, own_versions=own_versions, skipped=reasons.__setitem__)
    return in_one([*frames]), reasons


@pytest.fixture(scope="module")
def forecasts(base: BaseModel) -> pd.DataFrame:
    return run(HISTORIES, base)[0]


def test_it_forecasts_from_every_session_of_the_period_for_every_symbol(forecasts: pd.DataFrame) -> None:
    assert [*forecasts.columns] == ["symbol", "as_of", "basis", *QUANTILES]
    for symbol, bars in HISTORIES:
        mine = forecasts[forecasts["symbol"] == symbol]
        expected = between(bars, first=PERIOD.first, last=PERIOD.last).index
        np.testing.assert_array_equal(mine["as_of"], expected)


def test_the_quantiles_are_prices_in_order(forecasts: pd.DataFrame) -> None:
    assert (forecasts[QUANTILES] > 0).all(axis=None)
    assert (np.diff(forecasts[QUANTILES], axis=1) >= 0).all()


def test_each_symbol_is_forecast_by_its_own_version(base: BaseModel, forecasts: pd.DataFrame) -> None:
    symbol, bars = HISTORIES[1]
    own = train(between(bars, first=None, last=PERIOD.through), TINY, symbol=symbol, base=base)
    forecaster = Forecaster(own)
    factors = factors_of(forecaster, bars)

    mine = forecasts[forecasts["symbol"] == symbol]
    for day in (PERIOD.first, DAYS[220].date(), PERIOD.last):
        served = forecaster.forecast(between(bars, first=None, last=day), factor=factors[day])
        (row,) = mine.loc[mine["as_of"] == pd.Timestamp(day), QUANTILES].to_numpy().tolist()
        assert [*served.quantiles.values()] == row


def factors_of(forecaster: Forecaster, bars: pd.DataFrame) -> dict[date, float]:
    """Factor of the online calibration for each session after the fit, from sequential live forecasts."""
    levels = np.array(forecaster.tailed_levels)
    days = DAYS[200:250]
    unstretched = [forecaster.forecast(bars.loc[:day]) for day in days]
    quantiles = np.log([[price / each.last_close for price in each.quantiles.values()] for each in unstretched])
    closes = bars["close"].to_numpy()[200:250]
    actual = np.log(closes[1:] / closes[:-1])
    factors = adapted(quantiles[:-1], actual, levels, interval=TINY.interval_levels, factor=forecaster.first_factor)
    return dict(zip((day.date() for day in days), factors.tolist(), strict=True))


def test_the_base_itself_forecasts_alone(base: BaseModel) -> None:
    forecasts, _ = run(HISTORIES[:1], base, own_versions=False)

    served = Forecaster(base).forecast(between(HISTORIES[0][1], first=None, last=PERIOD.first))
    assert forecasts["q50"].iloc[0] == served.price


def test_a_symbol_that_the_base_never_saw_needs_no_training(base: BaseModel) -> None:
    short = simulated_bars(260, seed=7).iloc[-100:]

    forecasts, reasons = run([("NEW", short)], base, own_versions=False)

    assert (len(forecasts), reasons) == (45, {})


def test_without_a_base_each_symbol_is_trained_from_scratch(forecasts: pd.DataFrame) -> None:
    alone, _ = run(HISTORIES[:1], None)

    assert (alone["q10"] != forecasts["q10"][: len(alone)]).all()


def test_a_base_that_saw_later_bars_is_refused(base: BaseModel) -> None:
    earlier = Period(through=DAYS[198].date(), first=PERIOD.first, last=PERIOD.last)

    with pytest.raises(BaseKnowsTooMuchError, match=f"seen bars up to {PERIOD.through}, later than {earlier.through}"):
        run(HISTORIES, base, period=earlier)


@pytest.mark.parametrize("own_versions", [True, False])
def test_a_symbol_whose_bars_end_before_the_period_is_left_out_with_the_reason(base: BaseModel, *, own_versions: bool) -> None:
    forecasts, reasons = run([("GONE", HISTORIES[0][1].iloc[:200]), HISTORIES[1]], base, own_versions=own_versions)

    assert {*forecasts["symbol"]} == {"S1"}
    assert reasons == {"GONE": f"GONE has no session from {PERIOD.first} to {PERIOD.last} to forecast from."}


def test_a_symbol_that_cannot_be_trained_is_left_out_with_the_reason(base: BaseModel) -> None:
    short = HISTORIES[0][1].iloc[71:]

    forecasts, reasons = run([("NEW", short), HISTORIES[1]], base)

    assert {*forecasts["symbol"]} == {"S1"}
    assert reasons == {"NEW": "NEW has 129 bars; at least 130 are needed."}


def test_a_symbol_with_too_few_bars_to_forecast_is_left_out_with_the_reason(base: BaseModel) -> None:
    _, reasons = run([("NEW", HISTORIES[0][1].iloc[-29:]), HISTORIES[1]], base, own_versions=False)

    assert reasons == {"NEW": "NEW has 29 bars; at least 30 are needed to forecast."}


@pytest.mark.parametrize(("first", "last"), [(199, 240), (150, 240), (240, 230)])
def test_a_period_that_overlaps_the_fit_or_ends_before_it_begins_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="must lie after"):
        Period(through=DAYS[199].date(), first=DAYS[first].date(), last=DAYS[last].date())
