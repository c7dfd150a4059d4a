"""The csv source: a folder of CSV files."""

import csv
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from forecasting.prices.calendars import currency_of, exchange_of
from forecasting.prices.price_files import PriceFileError, read_prices
from forecasting.prices.quotes import Quote, widened
from forecasting.prices.schedules import schedule_of
from forecasting.prices.sources import BadDataError, PriceHistory, checked_history, file_of

QUOTE_ENDING = ".quote.csv"
QUOTE_COLUMNS = ("time", "price", "open", "high", "low", "volume")


@dataclass(frozen=True, slots=True)
class CsvFolder:
    """One file per symbol, `<symbol>.csv`, in one of the formats of price_files.py.

    The session under way may have a file beside it, `<symbol>.quote.csv`, with the columns `QUOTE_COLUMNS`.
    """

    folder: Path

    def fetch(self, symbol: str, *, since: date | None, through: date) -> PriceHistory:
        """See PriceSource. The whole file is read; an error in any line refuses all of it. An error in the quote does not."""
        file = file_of(self.folder, symbol, ending=".csv")
        try:
            bars = read_prices(file, name="its price file")
        except PriceFileError as error:
            raise BadDataError(symbol, str(error)) from error
        if (own := bars.get(symbol, bars.get(""))) is None:
            raise BadDataError(symbol, f"its price file has only {', '.join(bars)}; give each file the name of its symbol")
        history = checked_history(own, symbol=symbol, currency=currency_of(symbol), since=since, through=through)
        return replace(history, **_quoted(file.with_name(symbol + QUOTE_ENDING), symbol, after=through))


def price_files(folder: Path, *, pattern: str = "*.csv") -> list[Path]:
    """The price files in a folder, sorted; quotes are none."""
    return sorted(path for path in folder.glob(pattern) if not path.name.endswith(QUOTE_ENDING))


def _quoted(file: Path, symbol: str, *, after: date) -> dict[str, Any]:
    """The fields `quote` and `quote_problem` of a history; without them if there is no quote of a session later than `after`."""
    try:
        quote = _read_quote(file, symbol)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"quote_problem": f"its quote file cannot be read ({error.strerror}); check its permissions"}
    except (ValueError, csv.Error) as error:
        return {"quote_problem": f"its quote file: {error}"}
    return {"quote": quote} if quote and quote.session > after else {}


def _read_quote(file: Path, symbol: str) -> Quote | None:
    """The last row of the file; None if it has only a header. Raises OSError, csv.Error and ValueError."""
    header, *rows = [line for line in csv.reader(file.read_text(encoding="utf-8-sig").splitlines(), strict=True) if line] or [[]]
    if tuple(header) != QUOTE_COLUMNS:
        raise ValueError(f"line 1 is {','.join(header)!r}; write {','.join(QUOTE_COLUMNS)}")
    if not rows:
        return None
    if len(rows[-1]) != len(QUOTE_COLUMNS):
        raise ValueError(f"its last line has {len(rows[-1])} cells; write {len(QUOTE_COLUMNS)}")
    time, *numbers = rows[-1]
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        raise ValueError(f"the time {time} has no time zone; write 2024-07-01T14:30:00-04:00")
    values = dict(zip(QUOTE_COLUMNS[1:], map(float, numbers), strict=True))
    return widened(Quote(session=schedule_of(exchange_of(symbol)).local_date(moment), time=moment, ends=None, **values))
