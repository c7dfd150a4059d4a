"""Losses per session, to compare two versions with each other, and one version's live forecasts with its backtest.

The loss is the pinball loss of the log return, averaged over the quantile levels. It has no unit, and splits do not change it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.pipeline.evaluation.quantiles import levels_of, pinball_losses, quantile_columns
from forecasting.pipeline.model.features import Array

EWMA_DECAY = 0.94  # RiskMetrics, Technical Document (1996)
WARM_UP = 20  # sessions of the backtest whose returns start the volatility
ALLOWANCE = 0.2  # of the excess, which a doubling brings from 0 to about 0.5: smaller changes are let pass
YEAR = 252  # sessions
YEARLY_ALARMS = 0.7  # expected false alarms per year of an unchanged version
PATHS = 1000  # resampled years
BLOCK = 10  # sessions per resampled block, which keeps calm and volatile periods together
SMALLEST = 1e-6  # lower bound of loss and volatility (log return), for prices that do not move
FEWEST_BACKTEST = 100  # sessions; with fewer the usual loss is too uncertain


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """Drift test of one version: its level after each live session, and the limit above which performance is lost."""

    levels: Array
    limit: float
    ratio: float  # live loss / backtest loss: geometric means, in units of volatility

    @property
    def lost(self) -> bool:
        """Whether the live losses exceed what is plausible by the version's own backtest."""
        return bool(self.levels[-1] > self.limit)


def losses(forecasts: pd.DataFrame) -> Array:
    """The loss of each row. Columns of the frame, in units of price: last_close, actual_close, and q05 ... q95."""
    columns = quantile_columns(forecasts)
    last = forecasts["last_close"].to_numpy(float)
    actual = np.log(forecasts["actual_close"].to_numpy(float) / last)
    quantiles = np.log(forecasts[columns].to_numpy(float) / last[:, None])
    return pinball_losses(actual, quantiles, levels_of(columns))


def paired_losses(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Columns `first` and `second`: the losses of two backtests on their common sessions.

    Empty if they have no common session or different quantiles.
    """
    if not quantile_columns(first) or quantile_columns(first) != quantile_columns(second):
        return pd.DataFrame({"first": [], "second": []}, dtype=float)
    named = {name: pd.Series(losses(frame), _sessions(frame)) for name, frame in (("first", first), ("second", second))}
    return pd.concat(named, axis=1, join="inner")


def watch(backtest: pd.DataFrame, live: pd.DataFrame, *, seed: int) -> Watch | None:
    """Drift test of a version after its `live` forecasts, oldest first; frames as in `losses`. None if there are too few.

    Each loss is divided by the volatility before it (EWMA of the returns), so that rough times alone raise no alarm. Its excess is
    1 - usual / loss, where the usual one is the backtest's geometric mean: however large, a single shock counts at most 1, which
    tells it from a lasting change. What exceeds the backtest's mean excess, less ALLOWANCE, is summed by Page's test (Continuous
    inspection schemes, Biometrika 1954). The backtest itself, resampled in blocks, exceeds the
    limit YEARLY_ALARMS times a year (Künsch, The jackknife and the bootstrap for general stationary observations, 1989).
    """
    if len(backtest) < FEWEST_BACKTEST or live.empty or not quantile_columns(backtest):
        return None
    shared = ["last_close", "actual_close", *quantile_columns(backtest)]  # a live forecast may have more quantiles
    scaled = _in_units_of_volatility(pd.concat([backtest[shared], live[shared]], ignore_index=True))
    before, now = scaled[WARM_UP : len(backtest)], scaled[len(backtest) :]
    usual = _geometric_mean(before)
    mean_excess = (1 - usual / before).mean()
    levels = _levels((1 - usual / now - mean_excess)[:, None])[:, 0]
    limit = _limit(1 - usual / before - mean_excess, seed=seed)
    return Watch(levels=levels, limit=limit, ratio=_geometric_mean(now) / usual)


def _in_units_of_volatility(forecasts: pd.DataFrame) -> Array:
    returns = np.log(forecasts["actual_close"].to_numpy(float) / forecasts["last_close"].to_numpy(float))
    variance = np.empty(len(returns))
    variance[0] = np.square(returns[:WARM_UP]).mean()
    for row in range(1, len(returns)):
        variance[row] = EWMA_DECAY * variance[row - 1] + (1 - EWMA_DECAY) * returns[row - 1] ** 2
    return np.asarray(np.maximum(losses(forecasts), SMALLEST) / np.sqrt(np.maximum(variance, SMALLEST**2)))


def _geometric_mean(values: Array) -> float:
    return float(np.exp(np.log(values).mean()))


def _levels(excesses: Array) -> Array:
    """Page's cumulative sum after each session; excesses and result have shape (sessions, paths)."""
    level = np.zeros(excesses.shape[1])
    levels = np.empty_like(excesses)
    for session, row in enumerate(excesses):
        level = np.maximum(0.0, level + row - ALLOWANCE)
        levels[session] = level
    return levels


def _limit(excesses: Array, *, seed: int) -> float:
    """Quantile of a year's highest level at which alarms occur YEARLY_ALARMS times a year."""
    rng = np.random.default_rng(seed)
    blocks = -(-YEAR // BLOCK)
    starts = rng.integers(0, len(excesses), (blocks, PATHS))
    rows = (starts[:, None, :] + np.arange(BLOCK)[None, :, None]) % len(excesses)
    highest = _levels(excesses[rows.reshape(-1, PATHS)[:YEAR]]).max(axis=0)
    return float(np.quantile(highest, np.exp(-YEARLY_ALARMS)))  # Poisson probability of a year without alarms


def _sessions(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["as_of", "target_date"]])
