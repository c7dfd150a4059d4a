"""A folder of SYMBOL.csv files and its subfolders, the input of commands that work without the database."""

import argparse
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from django.core.management.base import CommandError
from rich.console import Console

from forecasting.pipeline.model.lead_moves import LeadMarkets
from forecasting.prices.bars import BadBarsError
from forecasting.prices.calendars import exchange_of
from forecasting.prices.csv_folder import CsvFolder, price_files
from forecasting.prices.leads import ALL_LEADS
from forecasting.prices.markets import sessions_like
from forecasting.prices.quality import check_bars
from forecasting.prices.sources import PriceSourceError

FEWEST = 0.1  # share of an exchange's bars on each side of the end of a fit; else the first half of its bars is used


class PriceFolder:
    """Reads the histories in a folder and its subfolders one by one. Unusable files are reported and left out."""

    def __init__(self, folder: Path, symbols: list[str] | None, console: Console, *, without: Path | None = None) -> None:
        """`symbols`: the symbols to read; None for all. `without`: a subfolder to leave out.

        Raises CommandError if the folder or a file does not exist, or if a symbol has two files.
        """
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        files = [path for path in price_files(folder, pattern="**/*.csv") if without is None or not path.is_relative_to(without)]
        self._folders = {path.stem.upper(): path.parent for path in files}
        if len(self._folders) < len(files):
            raise CommandError(f"{folder} and its subfolders have several files of the same symbol.")
        if missing := sorted({*(symbols or [])} - self._folders.keys()):
            raise CommandError(f"There is no price file for {', '.join(missing)} in {folder}.")
        self.symbols = sorted(symbols or self._folders)
        if not self.symbols:
            raise CommandError(f"There are no CSV files in {folder}.")
        self._console = console

    def known_histories(self, *, through: date | None) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yields symbol and the bars of a fit: up to `through`, or the first half of an exchange with few bars before or after it.

        All are read again up to their end, because the quality gate would use later ones as well.
        """
        days = {symbol: bars.index for symbol, bars in self.histories(through=date.max)}
        exchanges = {symbol: sessions_like(exchange_of(symbol)) for symbol in self.symbols}
        for exchange in dict.fromkeys(exchanges.values()):
            symbols = [symbol for symbol in self.symbols if exchanges[symbol] == exchange]
            end = _end([days[symbol] for symbol in symbols if symbol in days], through)
            yield from self.histories(through=end, symbols=symbols)

    def histories(self, *, through: date, symbols: Collection[str] | None = None) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yields symbol and bars up to `through`, after the quality gate; only of these `symbols`, if given."""
        for symbol in self.symbols if symbols is None else symbols:
            try:
                bars = CsvFolder(self._folders[symbol]).fetch(symbol, since=None, through=through).bars
                yield symbol, check_bars(bars, symbol=symbol, exchange=exchange_of(symbol)).bars
            except (PriceSourceError, BadBarsError) as error:
                self._console.print(f"  left out: {error}")


def _end(days: Collection[pd.Index], through: date | None) -> date:
    """The last session to use of an exchange, whose symbols have bars on these `days`."""
    if through is None or not days:
        return through or date.max
    every = np.sort(np.concatenate([each.to_numpy() for each in days]))
    before = float((every <= np.datetime64(through)).mean())
    middle: date = pd.Timestamp(every[len(every) // 2]).date()
    return through if FEWEST <= before <= 1 - FEWEST else middle


def lead_markets(folder: Path, console: Console) -> LeadMarkets:
    """The leads that have a price file in `folder`. Raises CommandError as `PriceFolder`."""
    prices = PriceFolder(folder, None, console)
    prices.symbols = [symbol for symbol in prices.symbols if symbol in ALL_LEADS]
    return LeadMarkets(dict(prices.histories(through=date.max)))


def day(text: str) -> date:
    """Parses a date on the command line."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2021-06-30") from None


def ticker(text: str) -> str:
    """Normalizes a symbol on the command line."""
    return text.strip().upper()


def add_fit_arguments(parser: argparse.ArgumentParser, *, out: str) -> None:
    """The arguments of a command that fits a file of a base on price files. `out`: the file's name."""
    parser.add_argument("--prices", type=Path, required=True, metavar="DIR", help="SYMBOL.csv files, also in subfolders")
    parser.add_argument("--symbols", nargs="+", type=ticker, metavar="SYMBOL", help="default: all in the folder")
    parser.add_argument(
        "--through",
        type=day,
        metavar="DATE",
        help="the last session to use; of an exchange with few bars before or after it, the first half of the bars is used",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=f"{out} in the folder of a base")
