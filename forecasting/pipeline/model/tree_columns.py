"""The inputs of the trees: features of the last session, more sizes of recent moves, moves of earlier quarters, the calendar.

A value that needs older bars than there are is NaN, which the trees know. No column depends on the price's scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.trailing import Array, trailing_means, weighted_means
from forecasting.prices.calendars import sessions

SIZE_FLOOR = 2e-3  # log return per session; smaller moves, often a single tick, are raised to it
SIZES = ("overnight", "intraday", "falls", "drift")  # over each look-back; falls are negative returns alone
HALF_LIVES = (1.5, 4.0, 25.0)  # sessions, of further EWMA volatilities, from returns and from swings
QUARTERS = (1, 2, 3, 4)  # quarters ago, when earnings may have been reported
QUARTER, AROUND = 63, 2  # sessions of a quarter, and sessions on either side of the day one quarter before the target
CALENDAR = ("days_ahead", "days_after", "after_holiday", "monday", "friday")  # of the target session
LONGEST_CLOSURE = timedelta(days=120)  # of an exchange, with room for the session after it

Float32 = npt.NDArray[np.float32]


def tree_columns(config: ForecastConfig) -> tuple[str, ...]:
    """Names of the columns, in their order."""
    return (*_of_features(config), *_own(config))


def _of_features(config: ForecastConfig) -> tuple[str, ...]:
    return ("log_ewma_volatility", *config.features[config.regressors])


def _own(config: ForecastConfig) -> tuple[str, ...]:
    return (
        *(f"{size}_{look_back}" for size in SIZES for look_back in config.look_backs),
        *(f"{name}_ewma_{half_life:g}" for name in ("return", "swing") for half_life in HALF_LIVES),
        "standardised_return",
        *(f"quarter_{quarter}" for quarter in QUARTERS),
        *CALENDAR,
    )


def bars_remembered(config: ForecastConfig) -> int:
    """Number of last bars on which the columns of one session depend."""
    return _lags(max(QUARTERS)).stop + config.volatility_sessions + 1


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """A symbol's bars as the columns need them."""

    days: pd.DatetimeIndex  # (bars,)
    log_prices: Mapping[str, Array]  # open, high, low and close, each (bars,)
    volatility: Array  # (bars - volatility_sessions,) EWMA after each of the last bars
    exchange: str  # whose calendar tells the date of the next session

    def cut(self, *, later: int, bars: int, config: ForecastConfig) -> "Past":
        """The last `bars` bars, without the `later` newest ones."""
        stop = len(self.days) - later
        start = max(stop - bars, 0)
        prices = {name: values[start:stop] for name, values in self.log_prices.items()}
        return Past(self.days[start:stop], prices, self.volatility[start : stop - config.volatility_sessions], self.exchange)


def compute_tree_columns(past: Past, features: Array, config: ForecastConfig) -> Float32:
    """The columns of the last bars of `past`, (rows, columns); `features` (rows, features): of the same bars.

    The target's date comes from the calendar, never from the next bar.
    """
    rows, close = len(features), past.log_prices["close"]
    log_return = close[1:] - close[:-1]
    known = dict(zip(config.features, features.T, strict=True))
    columns = {
        **{name: known[name] for name in _of_features(config)},
        **_sizes(**past.log_prices, log_return=log_return, scale=past.volatility[-rows:], config=config),
        **_quarters(log_return, past.volatility, rows),
        **_calendar(past.days[-rows:], past.exchange),
    }
    return np.column_stack([columns[name] for name in tree_columns(config)]).astype(np.float32)


def _sizes(
    *,
    open: Array,
    high: Array,
    low: Array,
    close: Array,
    log_return: Array,
    scale: Array,
    config: ForecastConfig,
) -> dict[str, Array]:
    """Sizes beside today's volatility. The drift is the sum of the returns in units of its standard deviation."""
    gap, move, falls = open[1:] - close[:-1], close - open, np.minimum(log_return, 0.0)
    swing = ((high - close) * (high - open) + (low - close) * (low - open))[1:] + gap**2
    rows, columns = len(scale), {}
    daily = np.stack([gap**2, move[1:] ** 2, falls**2, log_return])[:, 1 - rows - max(config.look_backs) :]
    for look_back, means in trailing_means(daily, config.look_backs).items():
        for name, variance in zip(SIZES[:-1], means[:-1], strict=True):
            columns[f"{name}_{look_back}"] = _relative(variance, scale)
        columns[f"drift_{look_back}"] = np.sqrt(look_back) * means[-1] / scale
    weights = 0.5 ** (np.arange(config.volatility_sessions) / np.array(HALF_LIVES)[:, None])
    squares = np.stack([log_return**2, swing])[:, 1 - rows - config.volatility_sessions :]
    for name, means in zip(("return", "swing"), weighted_means(squares, weights), strict=True):
        for half_life, variance in zip(HALF_LIVES, means, strict=True):
            columns[f"{name}_ewma_{half_life:g}"] = _relative(variance, scale)
    return columns


def _relative(variance: Array, scale: Array) -> Array:
    """Log of the root of the variance, in units of `scale`."""
    relative: Array = np.log(np.sqrt(variance).clip(min=SIZE_FLOOR) / scale)
    return relative


def _quarters(log_return: Array, volatility: Array, rows: int) -> dict[str, Array]:
    """Today's return, and the largest one around the days one to four quarters before the target.

    Each is divided by the volatility of the session before it.
    """
    known = log_return[len(log_return) - len(volatility) + 1 :] / volatility[:-1]
    standardised = np.concatenate([np.full(rows + _lags(max(QUARTERS)).stop, np.nan), known])
    last = len(standardised)
    columns = {"standardised_return": standardised[last - rows :]}
    for quarter in QUARTERS:
        moves = [np.abs(standardised[last - rows - lag : last - lag]) for lag in _lags(quarter)]
        columns[f"quarter_{quarter}"] = np.maximum.reduce(moves)
    return columns


def _lags(quarter: int) -> range:
    """Sessions before `as_of`; the target is one session after it."""
    middle = quarter * QUARTER - 1
    return range(middle - AROUND, middle + AROUND + 1)


def _calendar(days: pd.DatetimeIndex, exchange: str) -> dict[str, Array]:
    """Days from each of `days` to its target session and from that to the following one, and the target's weekday."""
    known = sessions(exchange, first=days[0].date(), last=days[-1].date() + LONGEST_CLOSURE).to_numpy().astype("datetime64[D]")
    today = days.to_numpy().astype("datetime64[D]")
    place = np.searchsorted(known, today, side="right")
    target, following = known[place], known[place + 1]
    weekday = (target.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    ahead, after = ((later - earlier).astype(np.float64) for later, earlier in ((target, today), (following, target)))
    usual = np.where(weekday == 0, 3.0, 1.0)
    flags = {"after_holiday": ahead > usual, "monday": weekday == 0, "friday": weekday == 4}
    return {"days_ahead": ahead, "days_after": after, **{name: flag.astype(np.float64) for name, flag in flags.items()}}
