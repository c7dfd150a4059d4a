"""`manage.py import_prices DIR|FILE`: imports daily prices from local CSV files."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting.market.importing import Imported, PriceFile, import_prices
from forecasting.prices.csv_folder import price_files


class Command(BaseCommand):
    """Imports symbol by symbol; a problem with one does not affect the others."""

    help = (
        "Stores daily prices from a CSV file, or from every SYMBOL.csv of a folder: date,open,high,low,close,adj_close,volume, "
        "or the formats of yfinance, Yahoo, Nasdaq, investing.com and others. The file's history replaces the stored one. "
        "Symbols with refused prices are reported at the end, and the exit status is then 1; the others are stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The file or folder, and the symbol."""
        parser.add_argument("place", type=Path, metavar="DIR|FILE")
        parser.add_argument("--symbol", help="import only this symbol; also names the symbol of a file that has none")

    def handle(self, *, place: Path, symbol: str | None, **options: Any) -> None:
        """Prints a line per stored symbol. Raises CommandError with the problems of the others."""
        only = symbol.strip().upper() if symbol else None
        problems: list[str] = []
        stored = 0
        for outcome in import_prices(_files(place, only), only=only, now=timezone.now()):
            if isinstance(outcome, Imported):
                stored += 1
                self.stdout.write(_told(outcome))
            else:
                problems += outcome.problems
        if not stored and not problems:
            problems = [f"there are no prices{f' for {only}' if only else ''} in these files; check their names and --symbol"]
        if problems:
            raise CommandError("\n".join(["Not stored:" if stored else "Nothing was stored:", *problems]))


def _told(imported: Imported) -> str:
    stored = imported.stored
    days = f"{stored.bars.index[0].date()} to {stored.bars.index[-1].date()}"
    news = f"{stored.written} written" if stored.written else "unchanged"
    out = f"; {imported.left_out:,} left out, see the symbol's findings" if imported.left_out else ""
    return f"{imported.ticker}: {len(stored.bars)} bars, {days}, {news}{out}{f'; {stored.held}' if stored.held else ''}"


def _files(place: Path, only: str | None) -> list[PriceFile]:
    """The file, or the folder's CSV files sorted by name."""
    if place.is_dir():
        return [PriceFile(path, path.stem.upper()) for path in price_files(place)]
    if not place.exists():
        raise CommandError(f"There is no file or folder {place}.")
    return [PriceFile(place, only or place.stem.upper())]
