"""A check of the bars contract (see bars.py)."""

import numpy as np
import pandas as pd

from forecasting.prices.bars import COLUMNS, PRICES


def keeps_contract(bars: pd.DataFrame) -> bool:
    """Whether a frame meets every condition of the contract."""
    prices, volume = bars[list(PRICES)], bars["volume"]
    dates = pd.DatetimeIndex(bars.index)
    return bool(
        tuple(bars.columns) == COLUMNS
        and set(bars.dtypes) == {np.dtype("float64")}
        and dates.tz is None
        and dates.is_monotonic_increasing
        and dates.is_unique
        and (dates == dates.normalize()).all()
        and np.isfinite(prices.to_numpy()).all()
        and (prices > 0).to_numpy().all()
        and (bars["high"] >= prices.max(axis="columns")).all()
        and (bars["low"] <= prices.min(axis="columns")).all()
        and (np.isfinite(volume) & (volume >= 0)).all()
    )
