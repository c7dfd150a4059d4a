"""`manage.py import_prices DIR|FILE`: daily prices from CSV files of one's own."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting.market.importing import Imported, PriceFile, import_prices


class Command(BaseCommand):
    """Symbol by symbol: what is wrong with one keeps no other one out."""

    help = (
        "Stores daily prices from a CSV file, or from every SYMBOL.csv of a folder: date,open,high,low,close,adj_close,volume, "
        "or what yfinance, Yahoo, Nasdaq, investing.com and others write. The file's history takes the place of the stored one. "
        "A symbol whose prices are refused is reported at the end, the others are stored; the exit status is then 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The place, and the symbol."""
        parser.add_argument("place", type=Path, metavar="DIR|FILE")
        parser.add_argument("--symbol", help="import this symbol alone; also whose prices a file is that does not say so")

    def handle(self, *, place: Path, symbol: str | None, **options: Any) -> None:
        """Prints a line for each symbol that was stored; CommandError says what is wrong with the others."""
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
            problems = [f"there are no prices{f' of {only}' if only else ''} in these files; check their names and --symbol"]
        if problems:
            raise CommandError("\n".join(["Not stored:" if stored else "Nothing was stored:", *problems]))


def _told(imported: Imported) -> str:
    stored = imported.stored
    days = f"{stored.bars.index[0].date()} to {stored.bars.index[-1].date()}"
    news = f"{stored.written} written" if stored.written else "as they were stored"
    out = f"; {imported.left_out:,} left out, see the symbol's findings" if imported.left_out else ""
    return f"{imported.ticker}: {len(stored.bars)} bars, {days}, {news}{out}{f'; {stored.held}' if stored.held else ''}"


def _files(place: Path, only: str | None) -> list[PriceFile]:
    """The file, or the folder's CSV files, by name."""
    if place.is_dir():
        return [PriceFile(path, path.stem.upper()) for path in sorted(place.glob("*.csv"))]
    if not place.exists():
        raise CommandError(f"There is no file or folder {place}.")
    return [PriceFile(place, only or place.stem.upper())]
