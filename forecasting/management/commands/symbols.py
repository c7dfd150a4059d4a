"""`manage.py symbols list|remove|restore|forget`: which symbols are served."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from forecasting import market
from forecasting.management.commands.predict import valid_tickers
from forecasting.models import Symbol
from forecasting.models.symbols import UpstreamState

SHOWN = 20  # forgotten symbols that are named


class Command(BaseCommand):
    """No action touches the ledger or the versions."""

    help = "Lists the symbols, takes some out of service or back, and forgets those that never had prices."

    def add_arguments(self, parser: CommandParser) -> None:
        """The action and its symbols."""
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="newest bar, state at the price source, and removal of every symbol")
        remove = actions.add_parser("remove", help="serve these symbols no more, and cancel their trainings; history stays")
        restore = actions.add_parser("restore", help="serve these symbols again")
        for action in (remove, restore):
            action.add_argument("symbols", nargs="+", metavar="SYMBOL")
        actions.add_parser("forget", help="delete the symbols that never had prices, with their failed trainings")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints what was done. Raises CommandError if a symbol does not exist."""
        action = getattr(self, f"_{options['action']}")
        action(*([_symbols(options["symbols"])] if "symbols" in options else []))

    def _list(self) -> None:
        columns = ("ticker", "upstream_state", "followed", "removed_at", "last_date")
        for ticker, state, followed, removed_at, last_date in Symbol.objects.all().with_last_bar().values_list(*columns).iterator():
            newest = f"newest bar {last_date}" if last_date else "no bars"
            removed = f", out of service since {removed_at:%Y-%m-%d}" if removed_at else ""
            purpose = "" if followed else ", not forecast itself"
            self.stdout.write(f"{ticker}: {newest}, {UpstreamState(state).label}{purpose}{removed}")

    def _remove(self, symbols: list[Symbol]) -> None:
        market.remove(symbols, by=getpass.getuser())
        self.stdout.write(f"Out of service: {', '.join(symbol.ticker for symbol in symbols)}.")

    def _restore(self, symbols: list[Symbol]) -> None:
        market.restore(symbols, by=getpass.getuser())
        self.stdout.write(f"In service: {', '.join(symbol.ticker for symbol in symbols)}.")

    def _forget(self) -> None:
        forgotten = market.forget(Symbol.objects.all())
        more = f" and {len(forgotten) - SHOWN} more" if len(forgotten) > SHOWN else ""
        self.stdout.write(f"Forgotten: {', '.join(forgotten[:SHOWN]) or 'none'}{more}.")


def _symbols(words: list[str]) -> list[Symbol]:
    """The symbols of these tickers, in their order."""
    tickers = valid_tickers(words)
    known = Symbol.objects.all().by_ticker(tickers)
    if missing := [ticker for ticker in tickers if ticker not in known]:
        raise CommandError(f"No such symbol here: {', '.join(missing)}.")
    return [known[ticker] for ticker in tickers]
