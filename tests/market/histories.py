"""A generated history of one symbol, and helpers to sync it."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd

from forecasting import market
from forecasting.models import Symbol
from tests.factories import make_symbol
from tests.fake_yahoo import generated_bars

WEDNESDAY, THURSDAY, FRIDAY = date(2024, 6, 26), date(2024, 6, 27), date(2024, 6, 28)
WEDNESDAY_EVENING = datetime(2024, 6, 26, 22, tzinfo=UTC)  # New York has closed
NOW = datetime(2024, 6, 28, 22, tzinfo=UTC)
HISTORY = generated_bars("AAA", first=date(2024, 1, 2), last=FRIDAY)


def write(folder: Path, bars: pd.DataFrame = HISTORY, *, ticker: str = "AAA") -> Path:
    file = folder / f"{ticker}.csv"
    bars.to_csv(file)
    return file


def synced(folder: Path, *, through: date = WEDNESDAY) -> Symbol:
    """A symbol that was synced on the evening of `through`."""
    write(folder, HISTORY[: pd.Timestamp(through)])
    symbol = make_symbol("AAA")
    market.sync(symbol, now=datetime(through.year, through.month, through.day, 22, tzinfo=UTC))
    return symbol


def assert_stored(symbol: Symbol, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(market.bars(symbol), expected, check_exact=True, check_freq=False)
