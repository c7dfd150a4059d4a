"""Reads CSV files of daily prices: this project's format, `date,open,high,low,close,adj_close,volume`, and those of other tools.

- One header line with names that price_columns.py accepts. A symbol column splits the file into symbols.
- `yfinance.download(...).to_csv()`: three header lines with prices, tickers and the word Date, for one or several symbols.

The separator is a comma, semicolon or tab. A row without prices counts as a missing bar. A file with the newest bar first is
reversed. An adjusted close scales all prices of its bar by adjusted close / close, except those with an adjusted column.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.prices import price_cells
from forecasting.prices.bars import COLUMNS, PRICES
from forecasting.prices.price_cells import CellError
from forecasting.prices.price_columns import ADJUSTED, ADJUSTED_OF, ColumnError, Header, read_header

LINE = "line"
SEPARATORS = ",;\t"
MISSING = ["NaN", *{spelling for word in price_cells.MISSING for spelling in (word, word.upper(), word.title())}]

TOO_LONG = "it has more cells than the header; quote numbers that contain commas"


class PriceFileError(ValueError):
    """A file cannot be read; the text names the file, the line, the value and the remedy."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file's text, separator and header."""

    name: str
    text: str
    separator: str
    header: Header

    def refusal(self, line: int, found: str) -> PriceFileError:
        """The error for one line."""
        return PriceFileError(f"line {line} of {self.name}: {found}; correct or remove that line")


def read_prices(file: Path, *, name: str) -> dict[str, pd.DataFrame]:
    """The adjusted bars of each symbol in the file; the symbol is "" if the file does not name it. Values are not checked.

    A missing price of a bar is NaN. The column "line" is the bar's line in the file. `name` is the file's name in errors.
    Raises PriceFileError.
    """
    try:
        opened = _opened(file, name)
        table = _cells(opened, as_text=opened.separator != ",")
    except OSError as error:
        raise PriceFileError(f"{name} cannot be read ({error.strerror}); check its permissions") from error
    except ColumnError as error:
        raise PriceFileError(f"line 1 of {name} {error}") from error
    except pd.errors.ParserError as error:
        raise _misshapen(error, opened) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PriceFileError(f"{name} is not CSV text in UTF-8 ({error}); write it again") from error
    try:
        days, numbers = price_cells.days(table[opened.header.date].tolist()), _numbers(opened, table)
    except CellError as error:
        raise opened.refusal(table.index[error.row], error.found) from error
    return {symbol: _bars(bars, name) for symbol, bars in _by_symbol(opened, table, numbers.set_index(days.rename("date")))}


def _opened(file: Path, name: str) -> _File:
    text = file.read_text(encoding="utf-8-sig")
    separator = max(SEPARATORS, key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    return _File(name, text, separator, read_header(list(itertools.islice(lines, 3))))


def _misshapen(error: pd.errors.ParserError, file: _File) -> PriceFileError:
    """Translates the error of pandas for a line that is much too long or an unclosed quote."""
    if line := re.search(r"in line (\d+), saw", str(error)):
        return file.refusal(int(line[1]), TOO_LONG)
    return PriceFileError(f"{file.name} cannot be read as CSV ({error}); close every quote")


def _cells(file: _File, *, as_text: bool) -> pd.DataFrame:
    """The relevant cells of each line that has any, by column position; the index is the line number.

    Unless `as_text`, purely numeric columns become numbers, NaN if missing. Raises PriceFileError for a line that is too long.
    """
    header, width = file.header, file.header.width
    names = [header.date] if header.symbol is None else [header.date, header.symbol]
    table = _parsed(file, texts=None if as_text else [*names, width])
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus cells for an index
        raise file.refusal(header.lines + 1, TOO_LONG)
    table.index = pd.RangeIndex(header.lines + 1, header.lines + 1 + len(table))
    if (longer := table[width].fillna("") != "").any():
        raise file.refusal(_first_line(longer), TOO_LONG)
    table = table[[*names, *header.columns]].fillna(dict.fromkeys([*names, *header.columns] if as_text else names, ""))
    if (dateless := table[header.date] == "").any():
        table = table[~(dateless & (table.isna() | (table == "")).all(axis="columns"))]
    return table


def _parsed(file: _File, *, texts: list[int] | None) -> pd.DataFrame:
    """All lines below the header. The columns `texts` (None: all) stay text."""
    missing: Any = {} if texts is None else dict.fromkeys(file.header.columns, MISSING)
    return pd.read_csv(
        io.StringIO(file.text),
        sep=file.separator,
        header=None,
        names=range(file.header.width + 1),  # one more than the header, to detect longer lines
        skiprows=file.header.lines,
        skip_blank_lines=False,  # keeps line numbers correct
        dtype=str if texts is None else dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values=missing,
        low_memory=False,
    )


def _first_line(where: pd.Series) -> int:
    """Number of the first line for which the mask is true."""
    return int(where.index[int(where.to_numpy().argmax())])


def _numbers(file: _File, table: pd.DataFrame) -> pd.DataFrame:
    """The table's numeric columns as float64, and the line numbers. Raises CellError."""
    columns = file.header.columns
    if all(table[place].dtype.kind in "iuf" for place in columns):
        numbers = table[list(columns)].astype("float64")
    else:
        texts = _cells(file, as_text=True).loc[table.index]
        named = [(role, texts[place].tolist()) for place, role in columns.items()]
        found = price_cells.numbers(named, comma_separates=file.separator == ",")
        numbers = pd.DataFrame(dict(zip(columns, found, strict=True)))
    return numbers.assign(**{LINE: table.index.to_numpy(dtype=float)})


def _by_symbol(file: _File, table: pd.DataFrame, numbers: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each symbol with its numbers by role, in file order."""
    for symbol, roles in file.header.places.items():
        bars = numbers[[*roles.values(), LINE]].set_axis([*roles, LINE], axis="columns")
        if file.header.symbol is None:
            yield symbol, bars
            continue
        symbols = table[file.header.symbol].str.strip().str.upper()
        if (nameless := symbols == "").any():
            raise file.refusal(_first_line(nameless), "it names no symbol")
        yield from ((str(named), of_one) for named, of_one in bars.groupby(symbols.to_numpy(), sort=False))


def _bars(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """A symbol's bars. Bars in descending order are reversed; other disorder stays for the quality gate."""
    bars = _adjusted(rows.dropna(how="all", subset=list(PRICES)), name)
    if bars["volume"].isna().all():
        bars = bars.assign(volume=0.0)  # funds, indices and currencies have none
    descends = bars.index.is_monotonic_decreasing and not bars.index.is_monotonic_increasing
    return bars[::-1] if descends else bars


def _adjusted(bars: pd.DataFrame, name: str) -> pd.DataFrame:
    if ADJUSTED not in bars or bars[ADJUSTED].isna().all():
        return bars[[*COLUMNS, LINE]]
    if (missing := bars[ADJUSTED].isna() & bars["close"].notna()).any():
        day = pd.DatetimeIndex(bars.index)[int(missing.to_numpy().argmax())].date()
        raise PriceFileError(f"{name}: adj_close is empty on {day} but not everywhere; fill it in every line or in none")
    factor = bars[ADJUSTED] / bars["close"]
    scaled = bars.assign(**{column: bars[column] * factor for column in PRICES})
    own = {column: bars[adjusted].fillna(scaled[column]) for column, adjusted in ADJUSTED_OF.items() if adjusted in bars}
    return scaled.assign(**own)[[*COLUMNS, LINE]]
