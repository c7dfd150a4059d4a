"""Computes features, volatility and target from bars. Features and volatility use only bars up to their row's date.

Every quantity looks back over a fixed number of bars and sums them in a fixed order. A row is therefore bit-identical for any
longer history.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.trailing import Array as Array
from forecasting.pipeline.model.trailing import trailing_mean, trailing_means
from forecasting.pipeline.model.tree_columns import SIZE_FLOOR, Float32, Past, bars_remembered, compute_tree_columns
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


def compute_features(bars: pd.DataFrame, config: ForecastConfig, *, exchange: str = WEEKDAYS) -> FeatureTable:
    """Features of every session of `bars` (see bars.py for their contract) from the first one that can have them all.

    `exchange`: whose calendar tells the date of the next session, which only the trees need.
    """
    first = config.warm_up
    if len(bars) <= first:
        raise ValueError(f"{len(bars)} bars give no features; at least {first + 1} are needed")
    # Contiguous, because NumPy's logarithm of strided memory may differ in the last bit.
    price = {name: np.ascontiguousarray(bars[name], dtype=np.float64) for name in ("open", "high", "low", "close")}
    log_prices = {name: np.log(values) for name, values in price.items()}
    log_open, log_high, log_low, log_close = log_prices.values()
    log_return = log_close[1:] - log_close[:-1]  # (bars - 1,): row i is the return of bar i + 1
    volatility = ewma_volatility(log_return, decay=config.volatility_decay, sessions=config.volatility_sessions)
    columns = {
        "log_return": log_return,
        "overnight_gap": log_open[1:] - log_close[:-1],
        "high_low_range": log_high - log_low,
        "open_close_move": log_close - log_open,
        "log_ewma_volatility": np.log(volatility),
        "log_parkinson_volatility": np.log(parkinson_volatility(log_high - log_low)),
        "relative_volume": relative_volume(bars["volume"].to_numpy(np.float64), sessions=config.volume_sessions),
        **_sizes(log_open, log_high, log_low, log_close, volatility, config.look_backs),
        "fall": np.minimum(log_return, 0) / USUAL_MOVE,
        "gap": np.abs(log_open[1:] - log_close[:-1]).clip(max=LARGEST_GAP) / USUAL_MOVE,
    }
    rows = len(bars) - first
    days = pd.DatetimeIndex(bars.index)
    return FeatureTable(
        dates=days[first:],
        features=np.column_stack([columns[name][-rows:] for name in config.features]),
        volatility=volatility[-rows:],
        target=np.append(log_return[len(log_return) - rows + 1 :], np.nan) / volatility[-rows:],
        close=price["close"][first:],
        past=Past(days, log_prices, volatility, exchange),
    )


def _sizes(
    log_open: Array, log_high: Array, log_low: Array, log_close: Array, volatility: Array, look_backs: tuple[int, ...]
) -> dict[str, Array]:
    """How large recent moves are beside the EWMA volatility, by size and look-back, each (bars - longest look-back,) at most.

    Regressors of a heterogeneous autoregression: Corsi, A Simple
    Approximate Long-Memory Model of Realized Volatility (2009). The daily estimates of variance are:

    - the squared range
    - that of Rogers & Satchell (1991) plus the squared gap
    - the squared return

    The fourth size is the absolute return.
    """
    gap = log_open[1:] - log_close[:-1]
    upper, lower = (log_high - log_close) * (log_high - log_open), (log_low - log_close) * (log_low - log_open)
    log_return = log_close[1:] - log_close[:-1]
    daily = [(log_high - log_low)[1:] ** 2, (upper + lower)[1:] + gap**2, log_return**2, np.abs(log_return)]
    sizes = {}
    for sessions, means in trailing_means(np.stack(daily), look_backs).items():
        rows = min(means.shape[1], len(volatility))
        scale = volatility[-rows:]
        for name, variance in zip(("range", "swing", "return"), means[:3, -rows:], strict=True):
            sizes[f"{name}_{sessions}"] = np.log(np.sqrt(variance).clip(min=SIZE_FLOOR) / scale)
        sizes[f"move_{sessions}"] = means[3, -rows:] / scale
    return sizes


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
