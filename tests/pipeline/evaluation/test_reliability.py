"""Reliability: promised probabilities beside what has happened, on outcomes of a known distribution."""

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.evaluation.quantiles import quantile_column
from forecasting.pipeline.evaluation.reliability import reliability

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
NORMAL = np.array([-2.3263, -1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449, 2.3263])
VOLATILITY = 0.02
COUNT = 20_000


def random_walk(count: int = COUNT) -> pd.DataFrame:
    moves = VOLATILITY * np.random.default_rng(3).standard_normal(count)
    return pd.DataFrame({"close": 50 * np.exp(np.cumsum(moves))}, index=pd.bdate_range("1900-01-01", periods=count))


def forecasts(bars: pd.DataFrame, *, width: float = 1.0) -> pd.DataFrame:
    prices = bars["close"].to_numpy()[:, None] * np.exp(width * VOLATILITY * NORMAL)
    columns = [quantile_column(level) for level in LEVELS]
    return pd.DataFrame(prices, columns=columns).assign(symbol="S", as_of=bars.index)


def test_what_true_quantiles_promise_happens_as_often() -> None:
    bars = random_walk()

    table = reliability(forecasts(bars), {"S": bars}, sessions=1)

    assert len(table) == 5 + 6 + 2
    np.testing.assert_allclose(table["happened"], table["promised"], atol=0.012)


def test_intervals_that_are_too_narrow_are_seen() -> None:
    bars = random_walk(5_000)

    table = reliability(forecasts(bars, width=0.7), {"S": bars}, sessions=1)

    assert table["promised"]["inside the 80% interval"] == pytest.approx(0.8)
    assert table["happened"]["inside the 80% interval"] < 0.7
    assert table["happened"]["loss beyond the 99 % value at risk"] > 0.03


def test_only_sessions_that_have_happened_count() -> None:
    bars = random_walk(30)
    late = bars.copy()
    late.loc[late.index[-5] :, "close"] *= 3

    table = reliability(forecasts(bars).iloc[:21], {"S": bars}, sessions=5)
    other = reliability(forecasts(bars).iloc[:20], {"S": late}, sessions=5)

    assert not table.empty
    assert other.equals(reliability(forecasts(bars).iloc[:20], {"S": bars}, sessions=5))
    assert reliability(forecasts(bars).iloc[25:], {"S": bars}, sessions=5).empty


def test_forecasts_without_tails_have_no_table() -> None:
    bars = random_walk(30)

    assert reliability(forecasts(bars).drop(columns=["q01", "q99"]), {"S": bars}, sessions=1).empty
