"""Lost performance: seldom a false alarm where nothing changed, a doubled loss seen within 20 sessions; measured on simulated data."""

from collections.abc import Iterator
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from forecasting.pipeline.drift import YEAR, Watch, losses, paired_losses, watch
from forecasting.pipeline.simulation import Simulation

LEVELS = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
COLUMNS = [f"q{round(100 * level):02d}" for level in LEVELS]
BACKTEST = 300  # sessions


def forecasts(seed: int) -> pd.DataFrame:
    """Ten years of forecasts by volatility, as good on the last session as on the first."""
    bars = Simulation(seed=seed).fetch("SAMPLE1", since=None, through=date(2024, 12, 31)).bars
    close = bars["close"]
    volatility = np.sqrt((np.log(close).diff() ** 2).ewm(alpha=0.06).mean())
    spread = volatility.to_numpy()[:-1, None] * t.ppf(LEVELS, 5) * np.sqrt(3 / 5)
    frame = pd.DataFrame(close.to_numpy()[:-1, None] * np.exp(spread), columns=COLUMNS)
    known = {"as_of": close.index[:-1], "target_date": close.index[1:], "last_close": close[:-1], "actual_close": close[1:]}
    return frame.assign(**{name: np.asarray(values) for name, values in known.items()})[100:].reset_index(drop=True)


@cache
def years() -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """A backtest and the year after it, four of each of 30 symbols."""
    return [(all_of_it[at : at + BACKTEST], all_of_it[at + BACKTEST : at + BACKTEST + YEAR]) for all_of_it, at in _places()]


def _places() -> Iterator[tuple[pd.DataFrame, int]]:
    for seed in range(30):
        history = forecasts(seed)
        yield from ((history, at) for at in (0, 560, 1120, 1680))


def watched(backtest: pd.DataFrame, live: pd.DataFrame) -> Watch:
    found = watch(backtest, live, seed=42)
    assert found
    return found


def doubled(live: pd.DataFrame) -> pd.DataFrame:
    """Forecasts of exactly twice the loss: every quantile twice as far from the same outcome."""
    actual = live["actual_close"].to_numpy()[:, None]
    return live.assign(**dict(zip(COLUMNS, (live[COLUMNS].to_numpy() ** 2 / actual).T, strict=True)))


def alarms(backtest: pd.DataFrame, live: pd.DataFrame) -> list[int]:
    """The sessions, from 1, of the alarms of a year, each followed by a new version of the same backtest."""
    found, begin = [], 0
    for end in range(1, len(live) + 1):
        if watched(backtest, live[begin:end]).lost:
            found.append(end)
            begin = end
    return found
