"""`manage.py sync SYMBOL...`: fetches the newest bars at the terminal."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting import market
from forecasting.management.commands.predict import valid_tickers
from forecasting.models import Symbol
from forecasting.models.symbols import TAKEN_OUT
from forecasting.prices.sources import PausedError, PriceSourceError, RateLimitedError


class Command(BaseCommand):
    """Syncs one symbol after the other, within the service's rate limit."""

    help = "Brings the bars of these symbols up to their last completed session. Also retries unknown symbols, and adds new ones."

    def add_arguments(self, parser: CommandParser) -> None:
        """Symbols."""
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints a line per symbol. Raises CommandError with the symbols that failed."""
        tickers = valid_tickers(options["symbols"])
        failed: list[str] = []
        for ticker in tickers:
            try:
                self._sync(ticker)
            except PriceSourceError as error:
                self.stderr.write(str(error))
                failed.append(ticker)
                if isinstance(error, RateLimitedError | PausedError):
                    failed += tickers[tickers.index(ticker) + 1 :]
                    break
        if failed:
            raise CommandError(f"Not synced: {', '.join(failed)}.")

    def _sync(self, ticker: str) -> None:
        symbol, now = Symbol.objects.named([ticker]).first(), timezone.now()
        if symbol and not symbol.is_in_service:
            raise PriceSourceError(ticker, f"{TAKEN_OUT}; use `symbols restore` first")
        rows = market.sync(symbol, now=now, ask_again=True) if symbol else market.enlist(ticker, now=now)
        symbol = symbol or Symbol.objects.get(ticker=ticker)
        bars = market.recent_bars([symbol], count=1)[symbol.pk]
        newest = f", newest bar {bars.index[-1].date()}" if len(bars) else ""
        self.stdout.write(f"{symbol.ticker}: {f'{rows} bars written' if rows else 'no newer bars'}{newest}")
