"""Price sources: the interface that all of them share, their typed errors, and the folder of CSV files.

The others are yahoo.py and simulation.py.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar, Protocol

import pandas as pd

from forecasting.pipeline.bars import COLUMNS, PRICES, BadBarsError, between, validated
from forecasting.pipeline.calendars import currency_of

REQUIRED_HEADER = ("date", *COLUMNS)
ADJUSTED = "adj_close"


class PriceSourceError(Exception):
    """Prices of `symbol` could not be had. Its text, which API clients may see, says why and what helps."""

    def __init__(self, symbol: str, reason: str) -> None:
        super().__init__(symbol, reason)
        self.symbol = symbol
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.symbol}: {self.reason}"


class UnknownSymbolError(PriceSourceError):
    """The source answered, and it has no such symbol."""


class UpstreamUnavailableError(PriceSourceError):
    """The source could not be reached or failed; nothing is known about the symbol."""


class PausedError(UpstreamUnavailableError):
    """The source was not asked: after a refusal or several failures it is left alone for a while."""


class RateLimitedError(PriceSourceError):
    """The source refuses more requests for now."""


class BadDataError(PriceSourceError):
    """The source has prices of the symbol, but they cannot be used."""


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """Bars that keep the contract of bars.py, none when nothing is newer, and the currency as the source writes it."""

    bars: pd.DataFrame
    currency: str


class PriceSource(Protocol):
    """Where daily bars come from."""

    @property
    def name(self) -> str:
        """What the PRICE_SOURCE setting calls it."""

    @property
    def simulated(self) -> bool:
        """Whether the prices are made up, which every output must say."""

    @property
    def remote(self) -> bool:
        """Whether it is somebody else's service, which has to be spared and may fail."""

    def fetch(self, symbol: str, *, since: date | None, through: date) -> PriceHistory:
        """Bars of `symbol` from session `since` (None: the whole history) to session `through`, both inclusive.

        `through` is the last completed session: no later, unfinished bar is returned. Raises a PriceSourceError.
        """


def checked_history(bars: pd.DataFrame, *, symbol: str, currency: str, since: date | None, through: date) -> PriceHistory:
    """What a source returns: `bars` within the dates asked for. Raises BadDataError where those break the contract."""
    try:
        kept = between(validated(bars, symbol=symbol), first=since, last=through)
    except BadBarsError as error:
        raise BadDataError(symbol, error.reason) from error
    return PriceHistory(bars=kept, currency=currency)


@dataclass(frozen=True, slots=True)
class CsvFolder:
    """One file per symbol, `<symbol>.csv`, with the header date,open,high,low,close,adj_close,volume, oldest bar first.

    `adj_close` may be missing or empty. Where it is given, open, high, low and close are scaled by adj_close / close.
    """

    folder: Path
    name: ClassVar[str] = "csv"
    simulated: ClassVar[bool] = False
    remote: ClassVar[bool] = False

    def fetch(self, symbol: str, *, since: date | None, through: date) -> PriceHistory:
        """See PriceSource. A file is read whole and refused whole, whatever the dates asked for."""
        bars = _read_bars(self._file(symbol), symbol)
        return checked_history(bars, symbol=symbol, currency=currency_of(symbol), since=since, through=through)

    def _file(self, symbol: str) -> Path:
        """Chosen among the files that are there, so that a symbol never names a path, nor one in another case."""
        try:
            files = {path.name: path for path in self.folder.iterdir()}
        except OSError as error:
            raise UpstreamUnavailableError(symbol, "the price folder cannot be read; check PRICE_DIR") from error
        if (file := files.get(f"{symbol}.csv")) is None:
            raise UnknownSymbolError(symbol, f"no file for {symbol} in the price folder; add {symbol}.csv or check the symbol")
        return file


def _read_bars(file: Path, symbol: str) -> pd.DataFrame:
    """The file's bars, adjusted; BadDataError names the line and the value that cannot be read."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = list(_rows(csv.DictReader(text, strict=True), symbol))
    except OSError as error:
        raise BadDataError(symbol, f"its price file cannot be read ({error.strerror}); check its permissions") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadDataError(symbol, f"its price file is not CSV text in UTF-8 ({error}); write it again") from error
    table = pd.DataFrame(rows, columns=[*REQUIRED_HEADER, ADJUSTED])
    bars = table.set_index(pd.DatetimeIndex(table["date"]))[[*COLUMNS, ADJUSTED]].astype("float64")
    return _adjusted(bars, symbol)


def _rows(reader: "csv.DictReader[str]", symbol: str) -> Iterator[tuple[date | float | None, ...]]:
    """(date, open, high, low, close, volume, adj_close or None) of each line."""
    header = reader.fieldnames or ()
    if missing := [name for name in REQUIRED_HEADER if name not in header]:
        raise BadDataError(symbol, f"line 1 of its price file lacks the column {', '.join(missing)}; add it")
    for line in reader:
        try:
            yield _row(line)
        except ValueError as error:
            found = f"line {reader.line_num} of its price file: {error}"
            raise BadDataError(symbol, f"{found}; correct or remove that line") from error


def _row(line: dict[str, str]) -> tuple[date | float | None, ...]:
    adjusted = line.get(ADJUSTED)
    numbers = [_number(line, column) for column in COLUMNS]
    return date.fromisoformat(line["date"] or ""), *numbers, _number(line, ADJUSTED) if adjusted else None


def _number(line: dict[str, str], column: str) -> float:
    value = line[column] or ""  # None where the line is too short
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{column} is {value!r}, not a number") from None


def _adjusted(bars: pd.DataFrame, symbol: str) -> pd.DataFrame:
    given = bars[ADJUSTED].notna()
    if not given.any():
        return bars
    if not given.all():
        day = bars.index[int(given.to_numpy().argmin())].date()
        raise BadDataError(symbol, f"adj_close is empty on {day} but not everywhere; fill it in every line or in none")
    factor = bars[ADJUSTED] / bars["close"]
    return bars.assign(**{column: bars[column] * factor for column in PRICES})
