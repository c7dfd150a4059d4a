"""The csv source: a folder of CSV files."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from forecasting.prices.calendars import currency_of
from forecasting.prices.price_files import PriceFileError, read_prices
from forecasting.prices.sources import BadDataError, PriceHistory, checked_history, file_of


@dataclass(frozen=True, slots=True)
class CsvFolder:
    """One file per symbol, `<symbol>.csv`, in one of the formats of price_files.py."""

    folder: Path

    def fetch(self, symbol: str, *, since: date | None, through: date) -> PriceHistory:
        """See PriceSource. The whole file is read; an error in any line refuses all of it."""
        try:
            bars = read_prices(file_of(self.folder, symbol, ending=".csv"), name="its price file")
        except PriceFileError as error:
            raise BadDataError(symbol, str(error)) from error
        if (own := bars.get(symbol, bars.get(""))) is None:
            raise BadDataError(symbol, f"its price file has only {', '.join(bars)}; give each file the name of its symbol")
        return checked_history(own, symbol=symbol, currency=currency_of(symbol), since=since, through=through)
