"""A folder of SYMBOL.csv files with hourly bars, and the file of their splits: the input of live fits and backtests."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from django.core.management.base import CommandError
from rich.console import Console

from forecasting.prices.calendars import exchange_of
from forecasting.prices.hours import EXCHANGE, HourlyFileError, daily_bars, read_hours, read_splits
from forecasting.prices.markets import sessions_like

LARGEST_MOVE = 0.35  # log return overnight; a larger one is probably a split


class HourlyFolder:
    """Reads hourly bars (see hours.py). Overnight moves that look like splits are reported, not repaired."""

    def __init__(self, folder: Path | None, splits: Path | None, symbols: list[str] | None, console: Console) -> None:
        """`folder`: None for no bars at all; `symbols`: those to read, None for all. Raises CommandError."""
        if folder is not None and not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        files = {path.stem.upper(): path for path in sorted(folder.glob("*.csv"))} if folder else {}
        if missing := sorted({*(symbols or [])} - files.keys()):
            raise CommandError(f"There is no hourly file for {', '.join(missing)} in {folder}.")
        if folder is not None and not files:
            raise CommandError(f"There are no CSV files in {folder}.")
        self.symbols = sorted(symbols or files)
        if elsewhere := [symbol for symbol in self.symbols if sessions_like(exchange_of(symbol)) != EXCHANGE]:
            raise CommandError(f"Hourly bars must be of New York; {', '.join(elsewhere)} in {folder} trade elsewhere.")
        try:
            known = read_splits(splits) if splits else None
            self._hours = {symbol: read_hours(files[symbol], known) for symbol in self.symbols}
        except HourlyFileError as error:
            raise CommandError(str(error)) from error
        for symbol, bars in self._hours.items():
            _report_splits(symbol, daily_bars(bars), console)

    def hours(self, *, through: date | None) -> dict[str, pd.DataFrame]:
        """Bars by symbol, up to the session `through`; None for all."""
        end = pd.Timestamp(through) + pd.Timedelta(days=1) if through and through < date.max else pd.Timestamp.max
        known = {symbol: bars[bars.index < end] for symbol, bars in self._hours.items()}
        return {symbol: bars for symbol, bars in known.items() if len(bars)}

    def histories(self, *, through: date) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yields symbol and daily bars up to `through`, made of the hours."""
        for symbol, bars in self.hours(through=through).items():
            yield symbol, daily_bars(bars)


def _report_splits(symbol: str, daily: pd.DataFrame, console: Console) -> None:
    moves = daily["open"] / daily["close"].shift(1)
    for day, move in moves[np.abs(np.log(moves)) > LARGEST_MOVE].items():
        console.print(f"  {symbol} opened on {day:%Y-%m-%d} at {move:.3g} times its last close; is a split missing?")
