"""Prices for the fake Yahoo: generated ones, and as-traded ones with Yahoo's backward adjustment for splits and dividends."""

from collections.abc import Mapping
from datetime import date
from zlib import crc32

import numpy as np
import pandas as pd

from forecasting.prices.bars import PRICES
from forecasting.prices.calendars import exchange_of, sessions


def generated_bars(symbol: str, *, first: date, last: date, seed: int = 7) -> pd.DataFrame:
    """A random walk on the sessions of the symbol's exchange, as a frame of the bars contract. Depends only on symbol and seed."""
    index = sessions(exchange_of(symbol), first=first, last=last)
    rng = np.random.default_rng([seed, crc32(symbol.encode())])
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, len(index))))
    opening = close * np.exp(rng.normal(0, 0.01, len(index)))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.01, len(index)))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.01, len(index)))
    volume = rng.integers(100_000, 1_000_000, len(index)).astype(float)
    return pd.DataFrame({"open": opening, "high": high, "low": low, "close": close, "volume": volume}, index=index)


def as_yahoo_adjusts(
    raw: pd.DataFrame, *, through: date, splits: Mapping[date, float] | None = None, dividends: Mapping[date, float] | None = None
) -> pd.DataFrame:
    """Yahoo's answer on the evening of `through`.

    `raw`: as traded. `splits`: session -> new shares for an old one. `dividends`: session -> cash per share, as paid. Every split
    up to `through` divides the prices before it and multiplies their volumes; every dividend scales the prices before it by
    1 - dividend / close of the session before.
    """
    bars = raw[: pd.Timestamp(through)].copy()
    factor, shares = pd.Series(1.0, index=bars.index), pd.Series(1.0, index=bars.index)
    for day, ratio in (splits or {}).items():
        if day <= through:
            factor[bars.index < pd.Timestamp(day)] /= ratio
            shares[bars.index < pd.Timestamp(day)] *= ratio
    for day, cash in (dividends or {}).items():
        before = bars.index < pd.Timestamp(day)
        if day <= through and before.any():
            factor[before] *= 1 - cash / raw["close"][: pd.Timestamp(day)].iloc[-2]
    return bars.assign(**{price: bars[price] * factor for price in PRICES}, volume=(bars["volume"] * shares).round())
