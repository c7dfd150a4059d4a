"""Meaning of a price file's columns: the names that common tools use, and the names that are refused.

Supported are the files of yfinance, Yahoo's and Nasdaq's sites, investing.com, Stooq, Alpha Vantage, EODHD, Tiingo, Quandl,
yahooquery, MarketWatch, MetaTrader and Kaggle. A column that may hold prices or a symbol is used or refused, never ignored.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from forecasting.prices.bars import COLUMNS

DATE, SYMBOL, ADJUSTED = "date", "symbol", "adj_close"
ADJUSTED_OF = {column: f"adj_{column}" for column in COLUMNS}  # replaces the column if the file has it
REQUIRED = (DATE, *COLUMNS)
LEVELS = ("price", "ticker", "")  # first cells of the lines of a multi-line header; "" in older yfinance releases

NAMES = {
    DATE: ("date", "datetime", "timestamp", "time", "day", "tradedate"),
    "close": ("close", "closelast", "closeprice", "closingprice", "last", "price"),
    "volume": ("volume", "vol"),
    SYMBOL: ("symbol", "ticker", "tickersymbol", "stocksymbol", "tic", "code", "stockcode", "stock", "name"),
    ADJUSTED: ("adjclose", "adjustedclose", "closeadj", "closeadjusted", "adjcloseprice", "adjustedclosingprice", "adjusted"),
    **{f"adj_{column}": (f"adj{column}", f"adjusted{column}") for column in COLUMNS if column != "close"},
    **{column: (column, f"{column}price") for column in ("open", "high", "low")},
}
ROLES = {name: role for role, names in NAMES.items() for name in names}

# Columns without a role that may change the meaning of the prices, or may hold prices under another name.
SUSPECT = re.compile(r"adj|close|price|symbol|ticker|isin|currency|period|interval|timeframe")
SUSPECT_WORDS = {"open", "high", "low", "last", "per"}
HARMLESS = re.compile(r"unadj|prev|openint|openinterest|vwap|change")


class ColumnError(ValueError):
    """A header cannot be used; the text names the column and the remedy."""


@dataclass(frozen=True, slots=True)
class Header:
    """The position of each symbol's values. The symbol is "" if the header does not name it."""

    lines: int
    width: int  # cells
    date: int
    symbol: int | None  # position of the symbol column
    places: dict[str, dict[str, int]]  # symbol -> role -> position in a line

    @property
    def columns(self) -> dict[int, str]:
        """The role of each numeric column by position, in file order."""
        return dict(sorted((place, role) for roles in self.places.values() for role, place in roles.items()))


def read_header(lines: Sequence[Sequence[str]]) -> Header:
    """The header in a file's first three lines. Raises ColumnError."""
    first = lines[0] if lines else []
    below = lines[1] if len(lines) > 1 else []
    if _starts_with_level(first) and _starts_with_level(below) and not any(_role(name) == DATE for name in first):
        names_dates = len(lines) > 2 and lines[2] and _role(lines[2][0]) == DATE
        header = _header_of_levels(first, below, lines=3 if names_dates else 2)
    else:
        header = _header_of_names(first)
    for symbol, roles in header.places.items():
        _require(roles, header, " of " + symbol if symbol else "", has=first)
    return header


def _header_of_names(names: Sequence[str]) -> Header:
    roles = _roles(list(enumerate(names)))
    date, symbol = roles.pop(DATE, -1), roles.pop(SYMBOL, None)
    return Header(1, len(names), date, symbol, {"": roles})


def _header_of_levels(first: Sequence[str], second: Sequence[str], *, lines: int) -> Header:
    """A header with a line of prices and a line of tickers, in either order; the dates are in the first column."""
    prices, tickers = (first, second) if "close" in map(_role, first) else (second, first)
    columns: dict[str, list[tuple[int, str]]] = {}
    for place, (price, ticker) in enumerate(zip(prices, tickers, strict=False)):
        if place > 0:
            columns.setdefault(ticker.strip().upper(), []).append((place, price))
    return Header(lines, len(first), 0, None, {symbol: _roles(named) for symbol, named in columns.items()} or {"": {}})


def _roles(columns: Sequence[tuple[int, str]]) -> dict[str, int]:
    """The position of each role. Raises ColumnError for duplicates and for unknown names that may matter."""
    names = dict(columns)
    roles: dict[str, int] = {}
    for place, name in columns:
        role = _role(name)
        if role in roles:
            raise ColumnError(
                f"has two columns for the {role}, {names[roles[role]].strip()} and {name.strip()}; remove one of them"
            )
        if role:
            roles[role] = place
        elif _is_suspect(name):
            raise ColumnError(f"has the column {name.strip()}, whose meaning is unknown; rename it or remove it")
    if ADJUSTED not in roles and (adjusted := [names[roles[role]] for role in ADJUSTED_OF.values() if role in roles]):
        raise ColumnError(f"has the column {adjusted[0].strip()}, but no adjusted close; add {ADJUSTED} or remove that column")
    return roles


def _require(roles: dict[str, int], header: Header, whose: str, *, has: Sequence[str]) -> None:
    present = {*roles} | ({DATE} if header.date >= 0 else set())
    if missing := [column for column in REQUIRED if column not in present]:
        named = ", ".join(name.strip() for name in has if name.strip())
        raise ColumnError(f"lacks the column {', '.join(missing)}{whose}; add it" + (f" (it has {named})" if named else ""))


def _starts_with_level(names: Sequence[str]) -> bool:
    return bool(names) and names[0].strip().lower() in LEVELS


def _role(name: str) -> str:
    """The role of a column, "" if unknown; case, spaces and punctuation do not matter."""
    return ROLES.get(re.sub(r"[^a-z0-9]", "", name.lower()), "")


def _is_suspect(name: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    return not HARMLESS.search(plain) and bool(SUSPECT.search(plain) or words & SUSPECT_WORDS)
