"""`manage.py import_prices DIR|FILE`: daily prices from CSV files of one's own."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting.market.importing import ImportRefusedError, PriceFile, import_prices


class Command(BaseCommand):
    """All files are checked before any is stored; one bad file, and nothing is."""

    help = (
        "Stores daily prices from a CSV file, or from every SYMBOL.csv of a folder: date,open,high,low,close,adj_close,volume, "
        "or what yfinance's history and download gave, saved by to_csv. The file's history takes the place of the stored one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The place, and the symbol."""
        parser.add_argument("place", type=Path, metavar="DIR|FILE")
        parser.add_argument("--symbol", help="import this symbol alone; also whose prices a file is that does not say so")

    def handle(self, *, place: Path, symbol: str | None, **options: Any) -> None:
        """Prints a line for each symbol; CommandError says everything that is wrong."""
        only = symbol.strip().upper() if symbol else None
        try:
            imported = import_prices(_files(place, only), only=only, now=timezone.now())
        except ImportRefusedError as error:
            raise CommandError(f"Nothing was stored:\n{error}") from error
        for each in imported:
            news = f"{each.written} written" if each.written else "as they were stored"
            self.stdout.write(f"{each.ticker}: {each.bars} bars, {each.first} to {each.last}, {news}")


def _files(place: Path, only: str | None) -> list[PriceFile]:
    """The file, or the folder's CSV files, by name."""
    if place.is_dir():
        return [PriceFile(path, path.stem.upper()) for path in sorted(place.glob("*.csv"))]
    if not place.exists():
        raise CommandError(f"There is no file or folder {place}.")
    return [PriceFile(place, only or place.stem.upper())]
