"""Computes features, volatility and target from bars. Features and volatility use only bars up to their row's date.

Every quantity looks back over a fixed number of bars and sums them in a fixed order. A row is therefore bit-identical for any
longer history.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.pipeline.config import SIZES, ForecastConfig
from forecasting.pipeline.model.trailing import Array as Array
from forecasting.pipeline.model.trailing import trailing_mean, trailing_means
from forecasting.pipeline.model.tree_columns import Float32, Past, bars_remembered, compute_tree_columns, relative
from forecasting.prices.bars import PRICES
from forecasting.prices.markets import WEEKDAYS

VOLATILITY_FLOOR = 1e-4  # log return per session; keeps the scale above zero if the price does not move
USUAL_MOVE = 0.02  # log return that is large for most stocks; unit of the signs of stress
LARGEST_GAP = 0.1  # log return; larger gaps are clipped to it


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """One row per session that has all features."""

    dates: pd.DatetimeIndex  # (rows,) as_of
    features: Array  # (rows, features) in the order of ForecastConfig.features, not yet standardised
    volatility: Array  # (rows,) EWMA, log return per session
    target: Array  # (rows,) next session's log return / volatility; NaN in the last row
    close: Array  # (rows,)
    past: Past  # for `tree_inputs`


def tree_inputs(table: FeatureTable, rows: range, config: ForecastConfig) -> Float32:
    """The trees' columns at `rows`, (len(rows), columns); see tree_columns.py."""
    bars = len(rows) + bars_remembered(config)
    past = table.past.cut(later=len(table.dates) - rows.stop, bars=bars, config=config)
    return compute_tree_columns(past, table.features[rows.start : rows.stop], config)


def compute_features(
    bars: pd.DataFrame, config: ForecastConfig, *, exchange: str = WEEKDAYS, last: int | None = None
) -> FeatureTable:
    """Features of every session of `bars` (see bars.py for their contract) from the first one that can have them all.

    `exchange`: whose calendar tells the date of the next session, which only the trees need. `last`: of the last so many sessions
    at most. Their values are the same, and the trees still look back on all bars.
    """
    rows = len(bars) - config.warm_up
    if rows <= 0:
        raise ValueError(f"{len(bars)} bars give no features; at least {config.warm_up + 1} are needed")
    rows = min(rows, last or rows)
    # Each column in contiguous memory, because NumPy's logarithm of strided memory may differ in the last bit.
    values = dict(zip(bars.columns, np.ascontiguousarray(bars.to_numpy(np.float64).T), strict=True))
    log_prices = {name: np.log(values[name]) for name in PRICES}
    log_close = log_prices["close"]
    volatility = ewma_volatility(log_close[1:] - log_close[:-1], decay=config.volatility_decay, sessions=config.volatility_sessions)
    past = Past(bars.index.to_numpy().astype("datetime64[D]"), log_prices, volatility, exchange)
    needed = past.cut(later=0, bars=rows + config.warm_up, config=config)
    columns = _columns(needed, values["volume"][-rows - config.warm_up :], config)
    log_return = columns["log_return"][-rows:]
    return FeatureTable(
        dates=pd.DatetimeIndex(bars.index[-rows:]),
        features=np.ascontiguousarray(np.array([columns[name][-rows:] for name in config.features]).T),
        volatility=volatility[-rows:],
        target=np.append(log_return[1:], np.nan) / volatility[-rows:],
        close=values["close"][-rows:],
        past=past,
    )


def _columns(past: Past, volume: Array, config: ForecastConfig) -> dict[str, Array]:
    """Every feature by name, each of the last sessions of `past` that can have it."""
    log_open, log_high, log_low, log_close = (past.log_prices[name] for name in PRICES)
    log_return, gap, log_range = past.log_return, past.gap, log_high - log_low
    return {
        "log_return": log_return,
        "overnight_gap": gap,
        "high_low_range": log_range,
        "open_close_move": log_close - log_open,
        "log_ewma_volatility": np.log(past.volatility),
        "log_parkinson_volatility": np.log(parkinson_volatility(log_range)),
        "relative_volume": relative_volume(volume, sessions=config.volume_sessions),
        **_sizes(log_range[1:], past.swing, log_return, past.volatility, config.look_backs),
        "fall": np.minimum(log_return, 0) / USUAL_MOVE,
        "gap": np.abs(gap).clip(max=LARGEST_GAP) / USUAL_MOVE,
    }


def _sizes(log_range: Array, swing: Array, log_return: Array, volatility: Array, look_backs: tuple[int, ...]) -> dict[str, Array]:
    """How large recent moves are beside the EWMA volatility, by size and look-back, each (bars - longest look-back,) at most.

    Regressors of a heterogeneous autoregression: Corsi, A Simple
    Approximate Long-Memory Model of Realized Volatility (2009). The daily estimates of variance are:

    - the squared range
    - that of Rogers & Satchell (1991) plus the squared gap
    - the squared return

    The fourth size is the absolute return.
    """
    means = trailing_means(np.stack([log_range**2, swing, log_return**2, np.abs(log_return)]), look_backs)
    rows = min(means.shape[-1], len(volatility))
    scale = volatility[-rows:]
    sizes = np.concatenate([relative(means[:, :3, -rows:], scale), means[:, 3:, -rows:] / scale], axis=1)
    return {
        f"{name}_{sessions}": size
        for sessions, of_each in zip(look_backs, sizes, strict=True)
        for name, size in zip(SIZES, of_each, strict=True)
    }


def ewma_volatility(log_return: Array, *, decay: float, sessions: int) -> Array:
    """Root of the exponentially weighted mean square of the last `sessions` returns, (returns - sessions + 1,).

    RiskMetrics Technical Document (1996), section 5.2, with finite look-back: the weights are decay ** lag.
    """
    variance = trailing_mean(log_return**2, decay ** np.arange(sessions, dtype=np.float64))
    return np.sqrt(variance).clip(min=VOLATILITY_FLOOR)


def parkinson_volatility(log_range: Array) -> Array:
    """Volatility of each session from its high-low range: Parkinson (1980), Journal of Business 53(1)."""
    return (log_range / math.sqrt(4 * math.log(2))).clip(min=VOLATILITY_FLOOR)


def relative_volume(volume: Array, *, sessions: int) -> Array:
    """log((1 + volume / mean) / 2) with the mean of the last `sessions` volumes including today's, (bars - sessions + 1,).

    0 at the mean volume, log(1/2) in a session without trades, and 0 if there is never volume (indices, currencies).
    """
    mean = trailing_mean(volume, np.ones(sessions))
    ratio = np.divide(volume[sessions - 1 :], mean, out=np.ones_like(mean), where=mean > 0)
    return np.log1p(ratio) - math.log(2)
