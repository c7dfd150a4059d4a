"""Price sources: their common interface and their typed errors. The sources are in yahoo.py, csv_folder.py and simulation.py."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import pandas as pd

from forecasting.prices.bars import BadBarsError, between, shaped
from forecasting.prices.findings import Finding
from forecasting.prices.quotes import Quote


class PriceSourceError(Exception):
    """Prices of `symbol` are not available. The text gives the cause and the remedy; API clients may see it."""

    def __init__(self, symbol: str, reason: str) -> None:
        super().__init__(symbol, reason)
        self.symbol = symbol
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.symbol}: {self.reason}"


class UnknownSymbolError(PriceSourceError):
    """The source answered that it has no such symbol."""


class UpstreamUnavailableError(PriceSourceError):
    """The source could not be reached or failed, so it is unknown whether the symbol exists."""


class PausedError(UpstreamUnavailableError):
    """No request was sent: after a refusal or several failures the circuit breaker is open until `until`."""

    def __init__(self, symbol: str, reason: str, until: datetime) -> None:
        super().__init__(symbol, reason)
        self.args = (symbol, reason, until)  # arguments for unpickling in another process
        self.until = until


class RateLimitedError(PriceSourceError):
    """The source refuses more requests for now."""


class BadDataError(PriceSourceError):
    """The source has prices of the symbol, but they cannot be used. `findings`: those of the quality gate, if it ran."""

    def __init__(self, symbol: str, reason: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(symbol, reason)
        self.args = (symbol, reason, findings)  # arguments for unpickling in another process
        self.findings = findings


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """The bars of one fetch in the format of bars.py, with unchecked values; empty if the source has none in the range.

    `currency`: as the source writes it. `exchange`: ISO 10383 code, "24/7" or "24/5"; "" if the source does not report it.
    `traded_until`: time of the last trade that the source knows, with time zone; None if it does not report it.
    `instrument`: what the symbol is, in Yahoo's words, such as EQUITY, ETF or INDEX; "" if the source does not report it.
    `quote`: of a session later than the range, unchecked (see quotes.py); None if the source does not report it.
    `quote_problem`: why the source's quote cannot be read; "" if it has none or a readable one.
    """

    bars: pd.DataFrame
    currency: str
    exchange: str = ""
    traded_until: datetime | None = None
    instrument: str = ""
    quote: Quote | None = None
    quote_problem: str = ""


class PriceSource(Protocol):
    """A source of daily bars; catalogue.py lists all of them."""

    def fetch(self, symbol: str, *, since: date | None, through: date) -> PriceHistory:
        """Bars of `symbol` from session `since` (None: the whole history) to session `through`, both inclusive.

        `through` is a session that has ended. Raises PriceSourceError.
        """


def checked_history(
    bars: pd.DataFrame, *, symbol: str, currency: str, exchange: str = "", since: date | None, through: date
) -> PriceHistory:
    """What a source returns: the `bars` asked for, in order. Raises BadDataError if they are no table of daily bars."""
    try:
        kept = between(shaped(bars, symbol=symbol).sort_index(kind="stable"), first=since, last=through)
    except BadBarsError as error:
        raise BadDataError(symbol, error.reason, error.findings) from error
    return PriceHistory(bars=kept, currency=currency, exchange=exchange)


def file_of(folder: Path, symbol: str, *, ending: str) -> Path:
    """The symbol's file, chosen from the folder's listing: a symbol never becomes a path, and its case must match.

    Raises UnknownSymbolError if there is none, and UpstreamUnavailableError if the folder cannot be read.
    """
    name = f"{symbol}{ending}"
    try:
        files = {path.name: path for path in folder.iterdir()}
    except OSError as error:
        raise UpstreamUnavailableError(symbol, "the price folder cannot be read; check PRICE_DIR") from error
    if name not in files:
        raise UnknownSymbolError(symbol, f"no file for {symbol} in the price folder; add {name} or check the symbol")
    return files[name]
