"""CSV files of daily prices: this project's own shape, and the ones in which people save what yfinance gave them.

- `date,open,high,low,close,adj_close,volume`, in any order and case; `adj_close` may be missing or empty;
- `Ticker(...).history(...).to_csv()`: dates are midnights with the exchange's offset, dividends and splits are further columns;
- `yfinance.download(...).to_csv()`: prices, tickers and the word Date in a header of three lines, for one symbol or several.

Where an adjusted close is given, all prices of its bar are scaled by adjusted close / close.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

import pandas as pd

from forecasting.pipeline.bars import COLUMNS, PRICES

DATE, ADJUSTED, LINE = "date", "adj_close", "line"
REQUIRED = (DATE, *COLUMNS)
LEVELS = ("price", "ticker", "")  # with which the lines of a header of several lines begin; older releases left them unnamed

Lines = Iterator[tuple[int, list[str]]]  # the number of the last line of the file that belongs to it, its cells
NO_LINE: tuple[int, list[str]] = (0, [])
Row = tuple[date | float | None, ...]  # date, open, high, low, close, volume, adjusted close or None, line of the file


class PriceFileError(ValueError):
    """A file cannot be read; the text names the file, the line and the value, and says what to do."""


@dataclass(frozen=True, slots=True)
class _Header:
    """Where the values of each symbol are. The symbol is "" where the file does not name it."""

    date: int
    symbols: dict[str, dict[str, int]]  # symbol -> column -> position in a line

    @property
    def has_several(self) -> bool:
        """Whether symbols share lines, so that some of them may have no bar in one."""
        return len(self.symbols) > 1


def read_prices(file: Path, *, name: str) -> dict[str, pd.DataFrame]:
    """The bars of each symbol in the file, adjusted, "" standing for a symbol that it does not name; values are not checked.

    The column "line" says where in the file a bar is. `name` is what the file is called in errors. Raises PriceFileError.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = _rows(_lines(text), name)
    except OSError as error:
        raise PriceFileError(f"{name} cannot be read ({error.strerror}); check its permissions") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PriceFileError(f"{name} is not CSV text in UTF-8 ({error}); write it again") from error
    return {symbol: _bars(found, name) for symbol, found in rows.items()}


def _lines(text: Iterable[str]) -> Lines:
    reader = csv.reader(text, strict=True)
    for cells in reader:
        yield reader.line_num, cells


def _rows(lines: Lines, name: str) -> dict[str, list[Row]]:
    """Each symbol's rows, in the file's order."""
    header = _header(lines, name)
    rows: dict[str, list[Row]] = {symbol: [] for symbol in header.symbols}
    for number, cells in lines:
        try:
            for symbol, row in _values(cells, header):
                rows[symbol].append((*row, number))
        except ValueError as error:
            raise PriceFileError(f"line {number} of {name}: {error}; correct or remove that line") from error
    return rows


def _header(lines: Lines, name: str) -> _Header:
    _, first = next(lines, NO_LINE)
    names = [_column(cell) for cell in first]
    if DATE not in names and names and names[0] in LEVELS:
        header = _header_of_levels(first, next(lines, NO_LINE)[1])
        next(lines, None)  # the word Date
    else:
        header = _Header(names.index(DATE) if DATE in names else -1, {"": {cell: place for place, cell in enumerate(names)}})
    for symbol, places in header.symbols.items():
        if missing := [column for column in REQUIRED if column not in places]:
            of_symbol = f" of {symbol}" if symbol else ""
            raise PriceFileError(f"line 1 of {name} lacks the column {', '.join(missing)}{of_symbol}; add it")
    return header


def _header_of_levels(first: list[str], second: list[str]) -> _Header:
    """Prices and tickers, in either order, above the columns that they name."""
    prices, tickers = (first, second) if "close" in map(_column, first) else (second, first)
    symbols: dict[str, dict[str, int]] = {}
    for place, (price, ticker) in enumerate(zip(prices, tickers, strict=False)):
        if place > 0:
            symbols.setdefault(ticker.strip().upper(), {DATE: 0})[_column(price)] = place
    return _Header(0, symbols or {"": {}})


def _column(cell: str) -> str:
    return cell.strip().lower().replace(" ", "_")


def _values(line: list[str], header: _Header) -> Iterator[tuple[str, Row]]:
    """The row, but for its line, of each symbol that has one in this line. Raises ValueError."""
    if not any(cell.strip() for cell in line):
        return
    day = _day(_cell(line, header.date))
    for symbol, places in header.symbols.items():
        cells = {column: _cell(line, places[column]) for column in COLUMNS}
        if header.has_several and not any(cells.values()):
            continue
        adjusted = _cell(line, places[ADJUSTED]) if ADJUSTED in places else ""
        numbers = [_number(column, cell) for column, cell in cells.items()]
        yield symbol, (day, *numbers, _number(ADJUSTED, adjusted) if adjusted else None)


def _cell(line: list[str], place: int) -> str:
    return line[place].strip() if place < len(line) else ""


def _day(cell: str) -> date:
    """A date, or midnight at the exchange; another time would leave open which session is meant."""
    moment = datetime.fromisoformat(cell)
    if moment.time() != time(0):
        raise ValueError(f"date is {cell!r}, which is not midnight at the exchange")
    return moment.date()


def _number(column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{column} is {cell!r}, not a number") from None


def _bars(rows: list[Row], name: str) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*REQUIRED, ADJUSTED, LINE])
    bars = table.set_index(pd.DatetimeIndex(table[DATE]))[[*COLUMNS, ADJUSTED, LINE]].astype("float64")
    given = bars[ADJUSTED].notna()
    if not given.any():
        return bars
    if not given.all():
        day = pd.DatetimeIndex(bars.index)[int(given.to_numpy().argmin())].date()
        raise PriceFileError(f"{name}: adj_close is empty on {day} but not everywhere; fill it in every line or in none")
    factor = bars[ADJUSTED] / bars["close"]
    return bars.assign(**{column: bars[column] * factor for column in PRICES})
