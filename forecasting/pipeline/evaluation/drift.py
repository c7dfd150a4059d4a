"""Losses of forecasts, session by session: of two versions in pairs, and of one version live beside its own backtest.

The loss is the pinball loss, mean over the quantile levels, of the log return, so that it has no unit and survives splits.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.pipeline.model.features import Array

EWMA_DECAY = 0.94  # RiskMetrics, Technical Document (1996)
WARM_UP = 20  # sessions of the backtest whose returns start the volatility
ALLOWANCE = 0.2  # of the excess, which a doubling brings from 0 to about 0.5: smaller changes are let pass
YEAR = 252  # sessions
YEARLY_ALARMS = 0.7  # false ones, expected of an unchanged version
PATHS = 1000  # resampled years
BLOCK = 10  # sessions resampled together, so that calm and rough times stay together
SMALLEST = 1e-6  # loss and volatility that count, as log returns: prices may stand still
FEWEST_BACKTEST = 100  # sessions; fewer say too little of what is usual


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """The watch over one version: its level after each live session, and the limit above which it has lost performance."""

    levels: Array
    limit: float
    ratio: float  # typical live loss over the backtest's, both in units of volatility (geometric means)

    @property
    def lost(self) -> bool:
        """Whether the live losses are beyond what the version's own backtest makes plausible."""
        return bool(self.levels[-1] > self.limit)


def losses(forecasts: pd.DataFrame) -> Array:
    """The loss of each row; the frame has last_close, actual_close and a column q05 ... q95 a level (units of price)."""
    columns = _quantile_columns(forecasts)
    levels = np.array([int(column[1:]) / 100 for column in columns])
    last = forecasts["last_close"].to_numpy(float)
    actual = np.log(forecasts["actual_close"].to_numpy(float) / last)
    error = actual[:, None] - np.log(forecasts[columns].to_numpy(float) / last[:, None])
    return np.asarray(np.maximum(levels * error, (levels - 1) * error).mean(axis=1))


def paired_losses(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Columns `first` and `second`: the losses of two backtests on the sessions of both, by session.

    Empty where they have no session, or not the same quantiles, in common.
    """
    if not _quantile_columns(first) or _quantile_columns(first) != _quantile_columns(second):
        return pd.DataFrame({"first": [], "second": []}, dtype=float)
    named = {name: pd.Series(losses(frame), _sessions(frame)) for name, frame in (("first", first), ("second", second))}
    return pd.concat(named, axis=1, join="inner")


def watch(backtest: pd.DataFrame, live: pd.DataFrame, *, seed: int) -> Watch | None:
    """The watch over a version after its `live` forecasts, oldest first; frames as in `losses`. None where there is too little.

    Each loss is divided by the volatility before it (EWMA of the returns), so that rough times alone raise no alarm. Its excess is
    1 - usual / loss, where the usual one is the backtest's geometric mean: however large, a single shock counts at most 1, which
    tells it from a lasting change. What exceeds the backtest's mean excess, less ALLOWANCE, is summed by Page's test (Continuous
    inspection schemes, Biometrika 1954). The limit is what the backtest itself, resampled in blocks (Künsch, The jackknife and the
    bootstrap for general stationary observations, 1989), exceeds YEARLY_ALARMS times a year.
    """
    if len(backtest) < FEWEST_BACKTEST or live.empty or not _quantile_columns(backtest):
        return None
    scaled = _in_units_of_volatility(pd.concat([backtest, live], ignore_index=True))
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
    """Page's sum after each session; excesses and result (sessions, paths)."""
    level = np.zeros(excesses.shape[1])
    levels = np.empty_like(excesses)
    for session, row in enumerate(excesses):
        level = np.maximum(0.0, level + row - ALLOWANCE)
        levels[session] = level
    return levels


def _limit(excesses: Array, *, seed: int) -> float:
    """What the highest level of a year exceeds in a share of years with which an alarm comes YEARLY_ALARMS times a year."""
    rng = np.random.default_rng(seed)
    blocks = -(-YEAR // BLOCK)
    starts = rng.integers(0, len(excesses), (blocks, PATHS))
    rows = (starts[:, None, :] + np.arange(BLOCK)[None, :, None]) % len(excesses)
    highest = _levels(excesses[rows.reshape(-1, PATHS)[:YEAR]]).max(axis=0)
    return float(np.quantile(highest, np.exp(-YEARLY_ALARMS)))  # alarms at random: none in a year with this probability


def _quantile_columns(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if name[:1] == "q" and name[1:].isdigit()]


def _sessions(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["as_of", "target_date"]])
