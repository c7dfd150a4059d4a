"""Prices from files of one's own, in place of the price source: each symbol is stored whole, or not at all and with the reason."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
from django.db import transaction

from forecasting.market.storing import Stored, store
from forecasting.models import Symbol
from forecasting.models.symbols import ticker_problem
from forecasting.prices import findings as gate
from forecasting.prices.bars import between
from forecasting.prices.calendars import currency_of, exchange_of, last_completed_session
from forecasting.prices.price_files import LINE, PriceFileError, read_prices
from forecasting.prices.sources import BadDataError, PriceHistory


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A file, and the symbol of its prices where it does not name one itself."""

    path: Path
    symbol: str


@dataclass(frozen=True, slots=True)
class Imported:
    """One symbol's bars as they are stored now, and how many of the file the quality gate left out."""

    ticker: str
    stored: Stored
    left_out: int


@dataclass(frozen=True, slots=True)
class NotImported:
    """A file or a symbol of which nothing was stored. `problems`: the file, the line in it, the symbol, what was found."""

    problems: list[str]


def import_prices(files: Sequence[PriceFile], *, only: str | None, now: datetime) -> Iterator[Imported | NotImported]:
    """Stores the whole history of each symbol in the files, or of the symbol `only`; bars of sessions under way are left out.

    What is wrong with one symbol keeps no other one out. A symbol that is in several files is stored from the first one alone.
    Two files at a time are in memory: the next one is read while one is stored.
    """
    taken: dict[str, str] = {}
    for file, tables in _read_ahead(files):
        name = file.path.name
        if isinstance(tables, PriceFileError):
            yield NotImported([str(tables)])
            continue
        for named, bars in tables.items():
            ticker = named or file.symbol
            if ticker in taken:
                yield NotImported([f"{name}: {ticker}: it is in {taken[ticker]} too, which counts; leave it in one file"])
            elif only in (None, ticker):
                taken[ticker] = name
                yield _imported(ticker, bars, name, now=now)


def _read_ahead(files: Sequence[PriceFile]) -> Iterator[tuple[PriceFile, dict[str, pd.DataFrame] | PriceFileError]]:
    """Each file with its bars by symbol, or why it cannot be read."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        under_way = deque(reader.submit(_read, file) for file in files[:2])
        for number, file in enumerate(files):
            yield file, under_way.popleft().result()
            under_way.extend(reader.submit(_read, each) for each in files[number + 2 : number + 3])


def _read(file: PriceFile) -> dict[str, pd.DataFrame] | PriceFileError:
    try:
        return read_prices(file.path, name=file.path.name)
    except PriceFileError as error:
        return error


def _imported(ticker: str, bars: pd.DataFrame, name: str, *, now: datetime) -> Imported | NotImported:
    if problem := ticker_problem(ticker):
        return NotImported([f"{name}: {ticker}: {problem}"])
    ended = between(bars, first=None, last=last_completed_session(exchange_of(ticker), now=now))
    if ended.empty:
        return NotImported([f"{name}: {ticker}: it has no bars; download it again or remove it"])
    try:
        stored = _store(ticker, ended, now=now)
    except BadDataError as error:
        found = [f"{_place(finding, ended, name)}: {ticker}: {finding.text}" for finding in gate.refused(error.findings)]
        return NotImported(found or [f"{name}: {ticker}: {error.reason}"])
    return Imported(ticker, stored, left_out=len(ended) - len(stored.bars))


@transaction.atomic
def _store(ticker: str, bars: pd.DataFrame, *, now: datetime) -> Stored:
    """A new symbol whose bars are refused is not kept."""
    (symbol,) = Symbol.objects.all().ensure([ticker])
    return store(symbol, PriceHistory(bars=bars, currency=symbol.currency or currency_of(ticker)), whole=True, now=now)


def _place(finding: gate.Finding, frame: pd.DataFrame, name: str) -> str:
    """The file and, where a session was found, its line; of a session that is there twice the second one."""
    lines = frame.loc[frame.index == pd.Timestamp(finding.date), LINE] if finding.date else pd.Series(dtype=float)
    return f"line {lines.iloc[-1]:.0f} of {name}" if len(lines) else name
