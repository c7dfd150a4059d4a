"""Prices from files of one's own, in place of the price source: all of them are stored, or nothing is."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pandas as pd
from django.db import transaction

from forecasting.market.storing import store
from forecasting.models import Symbol
from forecasting.models.symbols import ticker_problem
from forecasting.pipeline import findings as gate
from forecasting.pipeline.bars import BadBarsError, between
from forecasting.pipeline.calendars import currency_of, exchange_of, last_completed_session
from forecasting.pipeline.price_files import LINE, PriceFileError, read_prices
from forecasting.pipeline.quality import check_bars
from forecasting.pipeline.sources import BadDataError, PriceHistory


class ImportRefusedError(Exception):
    """Nothing was stored. The text has a line for each problem: the file, the line in it, the symbol, what was found."""


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A file, and the symbol of its prices where it does not name one itself."""

    path: Path
    symbol: str


@dataclass(frozen=True, slots=True)
class Imported:
    """One symbol's bars, as they are stored now; `written` is 0 where they were stored already."""

    ticker: str
    bars: int
    written: int
    first: date
    last: date


def import_prices(files: Sequence[PriceFile], *, only: str | None, now: datetime) -> list[Imported]:
    """Stores the whole history of each symbol in the files, or of the symbol `only`; bars of sessions under way are left out.

    Each file is read twice, so that one at a time is in memory. Raises ImportRefusedError with the problems of all files.
    """
    found: Counter[str] = Counter()
    problems = [problem for file in files for problem in _problems(file, only, found, now=now)]
    problems += [f"{ticker}: it is in {count} files; leave it in one" for ticker, count in found.items() if count > 1]
    if not problems and not found:
        problems = [f"there are no prices{f' of {only}' if only else ''} in these files; check their names and --symbol"]
    if problems:
        raise ImportRefusedError("\n".join(problems))
    with transaction.atomic():
        return [_store(ticker, bars, file, now=now) for file in files for ticker, bars in _tables(file, only, now=now)]


def _tables(file: PriceFile, only: str | None, *, now: datetime) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each wanted symbol and its bars, without any of a session under way. Raises PriceFileError."""
    for named, frame in read_prices(file.path, name=file.path.name).items():
        ticker = named or file.symbol
        if only in (None, ticker):
            yield ticker, between(frame, first=None, last=last_completed_session(exchange_of(ticker), now=now))


def _problems(file: PriceFile, only: str | None, found: Counter[str], *, now: datetime) -> list[str]:
    """Why a file cannot be stored; its symbols are added to those that were found."""
    problems = []
    try:
        for ticker, frame in _tables(file, only, now=now):
            found[ticker] += 1
            problems += _problems_of(ticker, frame, file.path.name)
    except PriceFileError as error:
        problems.append(str(error))
    return problems


def _problems_of(ticker: str, frame: pd.DataFrame, name: str) -> list[str]:
    if problem := ticker_problem(ticker):
        return [f"{name}: {ticker}: {problem}"]
    if frame.empty:
        return [f"{name}: {ticker}: it has no bars"]
    try:
        check_bars(frame, symbol=ticker, exchange=exchange_of(ticker))
    except BadBarsError as error:
        return [f"{_place(finding, frame, name)}: {ticker}: {finding.text}" for finding in gate.refused(error.findings)]
    return []


def _place(finding: gate.Finding, frame: pd.DataFrame, name: str) -> str:
    """The file and, where a session was found, its line; of a session that is there twice the second one."""
    lines = frame.loc[frame.index == pd.Timestamp(finding.date), LINE] if finding.date else pd.Series(dtype=float)
    return f"line {lines.iloc[-1]:.0f} of {name}" if len(lines) else name


def _store(ticker: str, bars: pd.DataFrame, file: PriceFile, *, now: datetime) -> Imported:
    (symbol,) = Symbol.objects.all().ensure([ticker])
    try:
        written = store(symbol, PriceHistory(bars=bars, currency=symbol.currency or currency_of(ticker)), whole=True, now=now)
    except BadDataError as error:
        raise ImportRefusedError(f"{file.path.name}: {ticker}: {error.reason}") from error
    return Imported(ticker, len(bars), written.written, bars.index[0].date(), bars.index[-1].date())
