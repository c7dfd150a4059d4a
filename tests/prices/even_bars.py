"""Bars whose usual values are exact, so that a test can place a defect just below or just above a limit.

The close rises and falls by the same log return in turn, each bar opens at the previous close, and volume is constant.
"""

import numpy as np
import pandas as pd

from forecasting.prices.bars import PRICES
from forecasting.prices.calendars import sessions

DAYS = sessions("XNYS", first=pd.Timestamp("2015-01-02").date(), last=pd.Timestamp("2021-12-31").date())
VOLUME = 1e6


def even_bars(count: int = 300, *, move: float = 0.01, reach: float = 0.02) -> pd.DataFrame:
    """`count` bars with log returns of +-`move` and log ranges of `reach`, which is at least `move`."""
    return from_moves(np.where(np.arange(count) % 2, move, -move), reach=reach)


def from_moves(moves: np.ndarray, *, reach: float = 0.02) -> pd.DataFrame:
    """Bars with these log returns. Each opens at the previous close; `reach` is its log range, if the move is not larger."""
    close = np.cumsum(moves)
    opened = np.concatenate([close[:1], close[:-1]])
    rest = np.maximum(reach - np.abs(close - opened), 0.0) / 2
    logs = {"open": opened, "high": np.maximum(opened, close) + rest, "low": np.minimum(opened, close) - rest, "close": close}
    frame = pd.DataFrame({name: 50 * np.exp(values) for name, values in logs.items()}, index=DAYS[: len(moves)])
    return frame.assign(volume=VOLUME)


def moved(bars: pd.DataFrame, row: int, size: float, *, length: int | None = None) -> pd.DataFrame:
    """The bars with a log return of exactly `size` at `row`, overnight; after `length` bars the old level is back."""
    usual = float(np.log(bars["close"].iloc[row] / bars["close"].iloc[row - 1]))
    factors = np.ones(len(bars))
    factors[row : None if length is None else row + length] = np.exp(size - usual)
    return bars.assign(**{name: bars[name] * factors for name in PRICES})


def busy(bars: pd.DataFrame, row: int, times: float) -> pd.DataFrame:
    """The bars with the volume of one of them times a factor."""
    return with_values(bars, row, volume=times * VOLUME)


def with_values(bars: pd.DataFrame, row: int, **values: float) -> pd.DataFrame:
    """The bars with some values of one of them replaced."""
    there = np.arange(len(bars)) == row
    return bars.assign(**{name: bars[name].mask(there, value) for name, value in values.items()})


def uneven_bars(row: int, before: float, after: float) -> pd.DataFrame:
    """Bars with one usual move before `row` and another from it on, and log ranges of 5 %."""
    size = np.where(np.arange(300) < row, before, after)
    return from_moves(size * np.where(np.arange(300) % 2, 1, -1), reach=0.05)


def after_a_move(size: float, row: int) -> pd.DataFrame:
    """Even bars with one real move of this size, on high volume."""
    return busy(moved(even_bars(), row, size), row, 20)
