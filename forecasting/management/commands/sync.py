"""`manage.py sync SYMBOL...`: fetches the newest bars at the terminal."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting import market
from forecasting.management.commands.predict import valid_tickers
from forecasting.models import Symbol
from forecasting.prices.sources import PausedError, PriceSourceError, RateLimitedError


class Command(BaseCommand):
    """Syncs one symbol after the other, within the service's rate limit."""

    help = "Brings the bars of these symbols up to their last completed session. Also retries unknown symbols."

    def add_arguments(self, parser: CommandParser) -> None:
        """Symbols."""
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints a line per symbol. Raises CommandError with the symbols that failed."""
        symbols = Symbol.objects.all().ensure(valid_tickers(options["symbols"]))
        failed: list[str] = []
        for symbol in symbols:
            try:
                self._sync(symbol)
            except PriceSourceError as error:
                self.stderr.write(str(error))
                failed.append(symbol.ticker)
                if isinstance(error, RateLimitedError | PausedError):
                    failed += [each.ticker for each in symbols[symbols.index(symbol) + 1 :]]
                    break
        if failed:
            raise CommandError(f"Not synced: {', '.join(failed)}.")

    def _sync(self, symbol: Symbol) -> None:
        rows = market.sync(symbol, now=timezone.now(), ask_again=True)
        bars = market.recent_bars([symbol], count=1)[symbol.pk]
        newest = f", newest bar {bars.index[-1].date()}" if len(bars) else ""
        self.stdout.write(f"{symbol.ticker}: {f'{rows} bars written' if rows else 'no newer bars'}{newest}")
