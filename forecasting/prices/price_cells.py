"""Parses the dates and numbers of price files in common notations.

If a single cell is ambiguous, the other cells of the file decide: 03/04/2025 may be in March or April, 1.234 may be near one
or above a thousand. If they do not decide, the file is refused.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time

import numpy as np
import numpy.typing as npt
import pandas as pd

MISSING = ("", "null", "nan", "none", "n/a", "na", "#n/a", "-", "--")  # in lower case
CURRENCY_SIGNS = "$€£¥₹"
MULTIPLES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
NAMED_MONTH = ("%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d %Y")
YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})")
YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
DAY_FIRST, MONTH_FIRST = "day first", "month first"


class CellError(ValueError):
    """A cell cannot be parsed. `row` counts from 0; the text names the value and the remedy."""

    def __init__(self, row: int, found: str) -> None:
        super().__init__(row, found)
        self.row = row
        self.found = found


def days(cells: Sequence[str]) -> pd.DatetimeIndex:
    """The session of each cell, which holds a date or midnight at the exchange. Raises CellError."""
    iso = pd.to_datetime(pd.Series(cells, dtype=str), format="%Y-%m-%d", errors="coerce")
    if not iso.isna().any():
        return pd.DatetimeIndex(iso)
    order = _order_of_days(cells)
    return pd.DatetimeIndex(np.array([_day(row, cell, order) for row, cell in enumerate(cells)], dtype="datetime64[us]"))


def numbers(columns: Sequence[tuple[str, Sequence[str]]], *, comma_separates: bool) -> list[npt.NDArray[np.float64]]:
    """Parses columns of text, each with its name for error messages. Missing numbers are NaN.

    `comma_separates`: the comma is also the file's separator. Raises CellError.
    """
    every = (_bare(cell) for _, cells in columns for cell in cells)
    sign = _decimal_sign(every, comma_separates=comma_separates)
    return [_column(column, cells, sign) for column, cells in columns]


def _order_of_days(cells: Iterable[str]) -> str:
    """Whether day or month comes first in dates such as 03/04/2025; "" if every date of the file is ambiguous."""
    for cell in cells:
        if parts := YEAR_LAST.fullmatch(cell.strip()):
            if int(parts[1]) > 12:
                return DAY_FIRST
            if int(parts[2]) > 12:
                return MONTH_FIRST
    return ""


def _day(row: int, cell: str, order: str) -> date:
    cell = cell.strip()
    try:
        if parts := YEAR_LAST.fullmatch(cell):
            first, second, year = map(int, parts.groups())
            if not order:
                raise CellError(row, f"date is {cell!r}, and no date of the file shows if the day comes first; write 2025-12-31")
            return date(year, second, first) if order == DAY_FIRST else date(year, first, second)
        if parts := YEAR_FIRST.fullmatch(cell):
            return date(*map(int, parts.groups()))
        return _named_month(cell) or _midnight(row, cell)
    except CellError:
        raise
    except ValueError:
        raise CellError(row, f"date is {cell!r}, not a date such as 2025-12-31" + (f" ({order})" if order else "")) from None


def _named_month(cell: str) -> date | None:
    """The date of a text with a month name; None for other texts."""
    if re.search("[A-Za-z]{3}", cell):
        for form in NAMED_MONTH:
            try:
                return datetime.strptime(cell, form).date()  # noqa: DTZ007  # only its date is used
            except ValueError:
                continue
    return None


def _midnight(row: int, cell: str) -> date:
    """The date of an ISO timestamp at midnight. Raises CellError for other times, ValueError for other texts."""
    moment = datetime.fromisoformat(cell)
    if moment.time() != time(0):
        raise CellError(row, f"date is {cell!r}, which is not midnight at the exchange")
    return moment.date()


def _bare(cell: str) -> str:
    """A number's text without spaces and currency signs."""
    return re.sub(rf"[\s{CURRENCY_SIGNS}]|R\$", "", cell)


def _decimal_sign(texts: Iterable[str], *, comma_separates: bool) -> str:
    """The decimal sign that at least one number proves. Without proof: a point if no number is ambiguous, else ""."""
    is_open = False
    for text in texts:
        digits = text.rstrip("KMBTkmbt").lstrip("+-")
        if _proves(digits, sign=r"\.", thousands=","):
            return "."
        if _proves(digits, sign=",", thousands=r"\."):
            return ","
        is_open |= "," in digits or ("." in digits and not comma_separates)
    return "" if is_open else "."


def _proves(digits: str, *, sign: str, thousands: str) -> bool:
    """Whether this is a number only with that decimal sign: it has both signs, or not exactly three digits after one."""
    plain = rf"(0|\d{{4,}}){sign}\d+|\d+{sign}(\d{{1,2}}|\d{{4,}})|\d+{sign}\d+[eE][-+]?\d+"
    grouped = rf"\d{{1,3}}({thousands}\d{{3}})+{sign}\d+|\d{{1,3}}({thousands}\d{{3}}){{2,}}"
    return bool(re.fullmatch(f"{plain}|{grouped}", digits))


def _column(column: str, cells: Sequence[str], sign: str) -> npt.NDArray[np.float64]:
    found = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        text = _bare(cell).upper()
        if text.lower() not in MISSING:
            multiple = MULTIPLES.get(text[-1], 1.0) if column.endswith("volume") else 1.0
            digits = text[:-1] if multiple > 1 else text
            if not _grammar(sign).fullmatch(digits):
                raise CellError(row, _not_a_number(column, cell, sign))
            found[row] = multiple * float(digits.replace("," if sign == "." else ".", "").replace(",", "."))
    return found


@functools.cache
def _grammar(sign: str) -> re.Pattern[str]:
    """Pattern of numbers with this decimal sign; of integers if `sign` is ""."""
    if not sign:
        return re.compile(r"[-+]?\d+")
    thousands = "," if sign == "." else r"\."
    whole = rf"(\d+|\d{{1,3}}({thousands}\d{{3}})+)"
    fraction = rf"{re.escape(sign)}\d"
    return re.compile(rf"[-+]?({whole}({fraction}*)?|{fraction}+)(E[-+]?\d+)?")


def _not_a_number(column: str, cell: str, sign: str) -> str:
    why = "" if sign else ", because no number of the file distinguishes the decimal sign from a thousands separator"
    return f"{column} is {cell.strip()!r}, not a number" + (" with a decimal comma" if sign == "," else why)
