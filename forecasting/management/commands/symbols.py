"""`manage.py symbols list|remove|restore|pause|resume|pin|unpin|forget`: which symbols are served and retrained."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from forecasting import market, registry
from forecasting.management.commands.predict import valid_tickers
from forecasting.models import ModelVersion, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.pipeline.serving.verified import ArtifactError
from forecasting.training import pausing

SHOWN = 20  # forgotten symbols that are named


class Command(BaseCommand):
    """No action touches the ledger. `pin` may activate a version; no other action touches the versions."""

    help = "Lists the symbols, takes some out of service or back, pauses their retraining, pins versions, and forgets symbols."

    def add_arguments(self, parser: CommandParser) -> None:
        """The action and its symbols."""
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="newest bar, state at the price source, and removal of every symbol")
        remove = actions.add_parser("remove", help="serve these symbols no more, and cancel their trainings; history stays")
        restore = actions.add_parser("restore", help="serve these symbols again")
        pause = actions.add_parser("pause", help="request no more retrainings of these symbols in the daily job")
        resume = actions.add_parser("resume", help="request them again")
        unpin = actions.add_parser("unpin", help="let the next training replace the pinned version of these symbols")
        pin = actions.add_parser("pin", help="activate a version of a symbol, and keep it active")
        pin.add_argument("symbol", metavar="SYMBOL")
        pin.add_argument("number", type=int, metavar="VERSION")
        for action in (remove, restore, pause, resume, unpin):
            action.add_argument("symbols", nargs="+", metavar="SYMBOL")
        actions.add_parser("forget", help="delete the symbols that never had prices, with their failed trainings")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints what was done. Raises CommandError if a symbol does not exist."""
        action = getattr(self, f"_{options['action']}")
        if options["action"] == "pin":
            action(*_symbols([options["symbol"]]), options["number"])
        else:
            action(*([_symbols(options["symbols"])] if "symbols" in options else []))

    def _list(self) -> None:
        columns = ("ticker", "upstream_state", "followed", "removed_at", "paused_at", "pinned_version__number", "last_date")
        rows = Symbol.objects.all().with_last_bar().values_list(*columns)
        for ticker, state, followed, removed_at, paused_at, pinned, last_date in rows.iterator():
            newest = f"newest bar {last_date}" if last_date else "no bars"
            removed = f", out of service since {removed_at:%Y-%m-%d}" if removed_at else ""
            purpose = "" if followed else ", not forecast itself"
            kept = (f", version {pinned} pinned" if pinned else "") + (", retraining paused" if paused_at else "")
            self.stdout.write(f"{ticker}: {newest}, {UpstreamState(state).label}{purpose}{kept}{removed}")

    def _remove(self, symbols: list[Symbol]) -> None:
        market.remove(symbols, by=getpass.getuser())
        self.stdout.write(f"Out of service: {', '.join(symbol.ticker for symbol in symbols)}.")

    def _restore(self, symbols: list[Symbol]) -> None:
        market.restore(symbols, by=getpass.getuser())
        self.stdout.write(f"In service: {', '.join(symbol.ticker for symbol in symbols)}.")

    def _pause(self, symbols: list[Symbol]) -> None:
        pausing.pause(symbols, by=getpass.getuser())
        self.stdout.write(f"Automatic training paused: {', '.join(symbol.ticker for symbol in symbols)}.")

    def _resume(self, symbols: list[Symbol]) -> None:
        pausing.resume(symbols, by=getpass.getuser())
        self.stdout.write(f"Trained automatically: {', '.join(symbol.ticker for symbol in symbols)}.")

    def _pin(self, symbol: Symbol, number: int) -> None:
        version = ModelVersion.objects.filter(symbol=symbol, number=number).select_related("symbol").first()
        if version is None:
            raise CommandError(f"{symbol.ticker} has no version {number}.")
        try:
            registry.pin(version, by=getpass.getuser())
        except ArtifactError as error:
            raise CommandError(f"{version} was not pinned, because its files cannot be used: {error}") from error
        self.stdout.write(f"{version} is active and pinned.")

    def _unpin(self, symbols: list[Symbol]) -> None:
        for symbol in symbols:
            registry.unpin(symbol, by=getpass.getuser())
        self.stdout.write(f"The next training may replace the version of: {', '.join(symbol.ticker for symbol in symbols)}.")

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
