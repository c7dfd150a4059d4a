"""Price sources: the interface that all of them share, their typed errors, and the folder of CSV files.

The others are yahoo.py and simulation.py.
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import ClassVar, Protocol

import pandas as pd

from forecasting.prices.bars import BadBarsError, between, shaped
from forecasting.prices.calendars import currency_of
from forecasting.prices.findings import Finding
from forecasting.prices.price_files import PriceFileError, read_prices


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
    """The source was not asked: after a refusal or several failures it is left alone, until the moment `until`."""

    def __init__(self, symbol: str, reason: str, until: datetime) -> None:
        super().__init__(symbol, reason)
        self.args = (symbol, reason, until)  # with which a copy in another process is made
        self.until = until


class RateLimitedError(PriceSourceError):
    """The source refuses more requests for now."""


class BadDataError(PriceSourceError):
    """The source has prices of the symbol, but they cannot be used. `findings`: what the quality gate found, if it looked."""

    def __init__(self, symbol: str, reason: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(symbol, reason)
        self.args = (symbol, reason, findings)  # with which a copy in another process is made
        self.findings = findings


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """Bars in the shape of bars.py, as the source has them, none if nothing is newer, and the currency as the source writes it.

    Their values are for quality.py to judge. `exchange`: its ISO 10383 code, "24/7" or "24/5"; "" if the source does not tell.
    """

    bars: pd.DataFrame
    currency: str
    exchange: str = ""


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


def checked_history(
    bars: pd.DataFrame, *, symbol: str, currency: str, exchange: str = "", since: date | None, through: date
) -> PriceHistory:
    """What a source returns: the `bars` asked for, in order. Raises BadDataError if they are no table of daily bars."""
    try:
        kept = between(shaped(bars, symbol=symbol).sort_index(kind="stable"), first=since, last=through)
    except BadBarsError as error:
        raise BadDataError(symbol, error.reason, error.findings) from error
    return PriceHistory(bars=kept, currency=currency, exchange=exchange)


@dataclass(frozen=True, slots=True)
class CsvFolder:
    """One file per symbol, `<symbol>.csv`, in one of the shapes of price_files.py."""

    folder: Path
    name: ClassVar[str] = "csv"
    simulated: ClassVar[bool] = False
    remote: ClassVar[bool] = False

    def fetch(self, symbol: str, *, since: date | None, through: date) -> PriceHistory:
        """See PriceSource. A file is read whole and refused whole, whatever the dates asked for."""
        try:
            bars = read_prices(self._file(symbol), name="its price file")
        except PriceFileError as error:
            raise BadDataError(symbol, str(error)) from error
        if (own := bars.get(symbol, bars.get(""))) is None:
            raise BadDataError(symbol, f"its price file has only {', '.join(bars)}; give each file the name of its symbol")
        return checked_history(own, symbol=symbol, currency=currency_of(symbol), since=since, through=through)

    def _file(self, symbol: str) -> Path:
        """Chosen among the files that are there, so that a symbol never names a path, nor one in another case."""
        try:
            files = {path.name: path for path in self.folder.iterdir()}
        except OSError as error:
            raise UpstreamUnavailableError(symbol, "the price folder cannot be read; check PRICE_DIR") from error
        if (file := files.get(f"{symbol}.csv")) is None:
            raise UnknownSymbolError(symbol, f"no file for {symbol} in the price folder; add {symbol}.csv or check the symbol")
        return file
