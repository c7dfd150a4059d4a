"""Simulated markets with known properties: no skill on random walks, and nominal coverage if volatility changes.

Seeds are fixed, so that results are deterministic; the limits allow for the variation over seeds.
"""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from forecasting.pipeline.base import train_base
from forecasting.pipeline.evaluation.backtest import Period, historical_forecasts, in_one
from forecasting.pipeline.evaluation.baselines import FORECAST, score_beside_baselines
from forecasting.pipeline.evaluation.metrics import relative_mae
from forecasting.pipeline.model.calibration import UNCALIBRATED
from forecasting.pipeline.model.features import Array, compute_features
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.trained import BaseModel, ServingModel
from forecasting.prices.bars import between
from forecasting.prices.simulation import Simulation
from tests.pipeline.market_data import TINY, simulated_bars

WALKS = {f"WALK{seed}": simulated_bars(900, seed=1_000 + seed) for seed in range(8)}
SPLIT = 600  # bars before the backtest

# Martingale differences with log-normal AR(1) volatility, fat tails and leverage.
MARKETS = {
    symbol: Simulation(seed=3).fetch(symbol, since=date(2019, 1, 2), through=date(2025, 6, 30)).bars
    for symbol in (f"SAMPLE{number}" for number in range(1, 7))
}
PERIOD = Period(through=date(2022, 12, 30), first=date(2023, 1, 3), last=date(2025, 6, 30))


def forecasts(symbols: dict[str, pd.DataFrame], period: Period) -> tuple[pd.DataFrame, BaseModel]:
    """A backtest of all symbols from a base trained on them."""
    base = train_base(((symbol, between(bars, first=None, last=period.through)) for symbol, bars in symbols.items()), TINY)
    reasons: dict[str, str] = {}
    frames = [*historical_forecasts(symbols.items(), period, TINY, base=base, own_versions=True, skipped=reasons.__setitem__)]
    assert not reasons
    return in_one(frames), base


def relative_errors(model: ServingModel) -> Array:
    """MASE of one model on the later sessions of each walk."""
    return np.array([_relative_error(model, bars) for bars in WALKS.values()])


def _relative_error(model: ServingModel, bars: pd.DataFrame) -> float:
    table = compute_features(bars, model.config)
    rows = range(SPLIT, len(table.dates) - 1)
    median = Forecaster(model).forecast_rows(table, rows)[:, 3]
    actual = np.diff(np.log(table.close))[rows.start : rows.stop]
    return relative_mae(actual, median, np.zeros(len(actual)))


@pytest.fixture(scope="module")
def walk() -> tuple[pd.DataFrame, BaseModel]:
    days = next(iter(WALKS.values())).index
    period = Period(through=days[SPLIT - 1].date(), first=days[SPLIT].date(), last=days[-1].date())
    return forecasts(WALKS, period)


def test_no_forecast_beats_a_random_walk(walk: tuple[pd.DataFrame, BaseModel]) -> None:
    table = score_beside_baselines(walk[0], WALKS, TINY)

    assert not table["p of beating naive"][FORECAST] <= 0.01  # not a number if the forecasts are the last closes
    assert table["MAE / naive"][FORECAST] > 0.999


def test_no_model_beats_a_random_walk_by_its_own_medians_either(walk: tuple[pd.DataFrame, BaseModel]) -> None:
    base = walk[1]

    errors = relative_errors(replace(base, calibration=UNCALIBRATED))

    assert (errors != 1).all()  # the medians differ from the last close ...
    error = errors.std(ddof=1) / np.sqrt(len(errors))
    assert errors.mean() > 1 - 3 * error  # ... but have no skill


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    return forecasts(MARKETS, PERIOD)[0]


def test_changing_volatility_is_forecast_better_than_by_the_last_250_returns(market: pd.DataFrame) -> None:
    table = score_beside_baselines(market, MARKETS, TINY)

    assert table["pinball ratio"][FORECAST] < 0.99
    assert table["worst"][FORECAST] < 1.0


def test_changing_volatility_gives_no_skill_in_the_price(market: pd.DataFrame) -> None:
    assert not score_beside_baselines(market, MARKETS, TINY)["p of beating naive"][FORECAST] <= 0.01  # as above


@pytest.mark.parametrize(("low", "high", "level"), [("q10", "q90", 0.8), ("q25", "q75", 0.5), ("q05", "q95", 0.9)])
def test_intervals_have_nominal_coverage_within_binomial_error(market: pd.DataFrame, low: str, high: str, level: float) -> None:
    held = pd.concat([_held(market[market["symbol"] == symbol], bars, low, high) for symbol, bars in MARKETS.items()])

    assert len(held) > 3_000
    assert binomtest(int(held.sum()), len(held), level).pvalue > 0.003  # three standard errors


def _held(mine: pd.DataFrame, bars: pd.DataFrame, low: str, high: str) -> pd.Series:
    known = mine.set_index("as_of").iloc[:-1]
    following = bars["close"].shift(-1).loc[known.index]
    return (known[low] <= following) & (following <= known[high])
