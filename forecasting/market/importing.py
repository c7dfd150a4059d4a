"""Imports prices from local files instead of the price source. A symbol is imported completely, or refused with a reason."""

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
    """A file, and the symbol of its prices if the file itself names none."""

    path: Path
    symbol: str


@dataclass(frozen=True, slots=True)
class Imported:
    """One symbol's stored bars, and how many of the file's bars the quality gate left out."""

    ticker: str
    stored: Stored
    left_out: int


@dataclass(frozen=True, slots=True)
class NotImported:
    """A file or symbol of which nothing was stored. Each problem names file, line, symbol and cause."""

    problems: list[str]


def import_prices(files: Sequence[PriceFile], *, only: str | None, now: datetime) -> Iterator[Imported | NotImported]:
    """Stores the whole history of each symbol in the files, or of the symbol `only`. Bars of unfinished sessions are left out.

    A problem with one symbol does not affect the others. If several files contain a symbol, only the first file is used.
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
                yield NotImported([f"{name}: {ticker}: already imported from {taken[ticker]}; keep it in one file only"])
            elif only in (None, ticker):
                taken[ticker] = name
                yield _imported(ticker, bars, name, now=now)


def _read_ahead(files: Sequence[PriceFile]) -> Iterator[tuple[PriceFile, dict[str, pd.DataFrame] | PriceFileError]]:
    """Yields each file with its bars by symbol, or the error that prevents reading it."""
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
    """Stores the history. The transaction also removes a new symbol whose bars are refused."""
    (symbol,) = Symbol.objects.all().ensure([ticker])
    return store(symbol, PriceHistory(bars=bars, currency=symbol.currency or currency_of(ticker)), whole=True, now=now)


def _place(finding: gate.Finding, frame: pd.DataFrame, name: str) -> str:
    """The file and, if the finding has a session, its line. For a duplicate session, the second line."""
    lines = frame.loc[frame.index == pd.Timestamp(finding.date), LINE] if finding.date else pd.Series(dtype=float)
    return f"line {lines.iloc[-1]:.0f} of {name}" if len(lines) else name
