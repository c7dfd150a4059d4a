"""The inputs of the trees: features of the last session, more sizes of recent moves, moves of earlier quarters, the calendar.

A value that needs older bars than there are is NaN, which the trees know. No column depends on the price's scale.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.trailing import Array, trailing_means, weighted_means
from forecasting.prices.bars import PRICES
from forecasting.prices.calendars import session_days
from forecasting.prices.weeks import Days

SIZE_FLOOR = 2e-3  # log return per session; smaller moves, often a single tick, are raised to it
SIZES = ("overnight", "intraday", "falls", "drift")  # over each look-back; falls are negative returns alone
HALF_LIVES = (1.5, 4.0, 25.0)  # sessions, of further EWMA volatilities, from returns and from swings
QUARTERS = (1, 2, 3, 4)  # quarters ago, when earnings may have been reported
QUARTER, AROUND = 63, 2  # sessions of a quarter, and sessions on either side of the day one quarter before the target
CALENDAR = ("days_ahead", "days_after", "after_holiday", "monday", "friday")  # of the target session
LONGEST_CLOSURE = timedelta(days=120)  # of an exchange, with room for the session after it

Float32 = npt.NDArray[np.float32]


@functools.lru_cache(maxsize=4)
def tree_columns(config: ForecastConfig) -> tuple[str, ...]:
    """Names of the columns, in their order."""
    return (*_of_features(config), *_own(config))


def _of_features(config: ForecastConfig) -> tuple[str, ...]:
    return ("log_ewma_volatility", *config.features[config.regressors])


def _own(config: ForecastConfig) -> tuple[str, ...]:
    return (
        *_names_of_sizes(config),
        "standardised_return",
        *(f"quarter_{quarter}" for quarter in QUARTERS),
        *CALENDAR,
    )


def _names_of_sizes(config: ForecastConfig) -> tuple[str, ...]:
    return (
        *(f"{size}_{look_back}" for size in SIZES for look_back in config.look_backs),
        *(f"{name}_ewma_{half_life:g}" for name in ("return", "swing") for half_life in HALF_LIVES),
    )


def bars_remembered(config: ForecastConfig) -> int:
    """Number of last bars on which the columns of one session depend."""
    return _lags(max(QUARTERS)).stop + config.volatility_sessions + 1


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """A symbol's bars as the columns need them."""

    days: Days  # (bars,)
    log_prices: Mapping[str, Array]  # open, high, low and close, each (bars,)
    volatility: Array  # (bars - volatility_sessions,) EWMA after each of the last bars
    exchange: str  # whose calendar tells the date of the next session

    @property
    def log_return(self) -> Array:
        """Of each bar but the first, (bars - 1,)."""
        return self.log_prices["close"][1:] - self.log_prices["close"][:-1]

    @property
    def gap(self) -> Array:
        """From the close before to the open of each bar but the first, (bars - 1,)."""
        return self.log_prices["open"][1:] - self.log_prices["close"][:-1]

    @property
    def swing(self) -> Array:
        """Variance of each bar but the first, (bars - 1,): that of Rogers & Satchell (1991) plus the squared gap."""
        opened, high, low, close = (self.log_prices[name] for name in PRICES)
        within = (high - close) * (high - opened) + (low - close) * (low - opened)
        return within[1:] + self.gap**2

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
    rows, known = len(features), dict(zip(config.features, features.T, strict=True))
    columns = known | _sizes(past, rows, config) | _quarters(past, rows) | _calendar(past.days[-rows:], past.exchange)
    return np.ascontiguousarray(np.array([columns[name] for name in tree_columns(config)]).T, dtype=np.float32)


def relative(variance: Array, scale: Array) -> Array:
    """Log of the root of the variance (..., rows), raised to SIZE_FLOOR, in units of `scale` (rows,)."""
    in_units: Array = np.log(np.sqrt(variance).clip(min=SIZE_FLOOR) / scale)
    return in_units


def _sizes(past: Past, rows: int, config: ForecastConfig) -> dict[str, Array]:
    """Sizes beside today's volatility. The drift is the sum of the returns in units of its standard deviation."""
    scale, log_return, look_backs = past.volatility[-rows:], past.log_return, config.look_backs
    intraday, falls = past.log_prices["close"] - past.log_prices["open"], np.minimum(log_return, 0.0)
    daily = np.stack([past.gap**2, intraday[1:] ** 2, falls**2, log_return])[:, 1 - rows - max(look_backs) :]
    *variances, returns = trailing_means(daily, look_backs).swapaxes(0, 1)
    drift = np.sqrt(look_backs)[:, None] * returns / scale
    weights = 0.5 ** (np.arange(config.volatility_sessions) / np.array(HALF_LIVES)[:, None])
    squares = np.stack([log_return**2, past.swing])[:, 1 - rows - config.volatility_sessions :]
    sizes = relative(np.concatenate([*variances, *weighted_means(squares, weights)]), scale)
    averaged = len(variances) * len(look_backs)
    return dict(zip(_names_of_sizes(config), [*sizes[:averaged], *drift, *sizes[averaged:]], strict=True))


def _quarters(past: Past, rows: int) -> dict[str, Array]:
    """Today's return, and the largest one around the days one to four quarters before the target.

    Each is divided by the volatility of the session before it.
    """
    log_return, before = past.log_return, past.volatility[:-1]
    known = log_return[len(log_return) - len(before) :] / before
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


def _calendar(days: Days, exchange: str) -> dict[str, Array]:
    """Days from each of `days` to its target session and from that to the following one, and the target's weekday."""
    known = session_days(exchange, first=days[0].item(), last=days[-1].item() + LONGEST_CLOSURE)
    place = np.searchsorted(known, days, side="right")
    target, following = known[place], known[place + 1]
    weekday = (target.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    ahead, after = ((later - earlier).astype(np.float64) for later, earlier in ((target, days), (following, target)))
    usual = np.where(weekday == 0, 3.0, 1.0)
    flags = {"after_holiday": ahead > usual, "monday": weekday == 0, "friday": weekday == 4}
    return {"days_ahead": ahead, "days_after": after, **{name: flag.astype(np.float64) for name, flag in flags.items()}}
