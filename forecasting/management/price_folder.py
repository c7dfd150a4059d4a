"""A folder of SYMBOL.csv files, the input of commands that work without the database."""

import argparse
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
from django.core.management.base import CommandError
from rich.console import Console

from forecasting.prices.bars import BadBarsError
from forecasting.prices.calendars import exchange_of
from forecasting.prices.csv_folder import CsvFolder
from forecasting.prices.quality import check_bars
from forecasting.prices.sources import PriceSourceError


class PriceFolder:
    """Reads the histories in a folder one by one. Unusable files are reported and left out."""

    def __init__(self, folder: Path, symbols: list[str] | None, console: Console) -> None:
        """`symbols`: the symbols to read; None for all. Raises CommandError if the folder or a file does not exist."""
        if not folder.is_dir():
            raise CommandError(f"--prices {folder} is not a folder.")
        present = sorted(path.stem.upper() for path in folder.glob("*.csv"))
        if missing := sorted({*(symbols or [])} - {*present}):
            raise CommandError(f"There is no price file for {', '.join(missing)} in {folder}.")
        self.symbols = sorted(symbols) if symbols else present
        if not self.symbols:
            raise CommandError(f"There are no CSV files in {folder}.")
        self._source, self._console = CsvFolder(folder), console

    def histories(self, *, through: date) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yields symbol and bars up to `through`, after the quality gate."""
        for symbol in self.symbols:
            try:
                bars = self._source.fetch(symbol, since=None, through=through).bars
                yield symbol, check_bars(bars, symbol=symbol, exchange=exchange_of(symbol)).bars
            except (PriceSourceError, BadBarsError) as error:
                self._console.print(f"  left out: {error}")


def day(text: str) -> date:
    """Parses a date on the command line."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2021-06-30") from None


def ticker(text: str) -> str:
    """Normalizes a symbol on the command line."""
    return text.strip().upper()
