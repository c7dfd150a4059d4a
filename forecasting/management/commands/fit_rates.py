"""`manage.py fit_rates`: fits the base rates of rising days on price files, apart from a base's network."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas as pd
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from forecasting import terminal
from forecasting.management.price_folder import PriceFolder, add_fit_arguments, ticker
from forecasting.pipeline.evaluation.direction import LaterDays, later_days
from forecasting.pipeline.model.base_rates import BaseRates, fit_rates
from forecasting.pipeline.serving.trained import rates_file
from forecasting.prices.rate_classes import FUNDS, rate_class

Histories = Iterator[tuple[str, pd.DataFrame]]


class Command(BaseCommand):
    """Uses neither the database nor the active base."""

    help = "Fits how often indices, funds and the shares of each exchange rise; writes rates.json."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Prices, which of them are of funds, the last session to use, and the output file."""
        add_fit_arguments(parser, out="rates.json")
        parser.add_argument("--funds", nargs="+", type=ticker, default=[], metavar="SYMBOL", help="those that are funds, no shares")

    def handle(self, *args: Any, **options: Any) -> None:
        """Writes the file and prints a table, with what happened after the fit. Raises CommandError if no class has enough days."""
        console = terminal.console()
        folder = PriceFolder(options["prices"], options["symbols"], console)

        def by_class(histories: Histories) -> Histories:
            for symbol, bars in histories:
                if name := rate_class(symbol, instrument=next(iter(FUNDS)) if symbol in options["funds"] else ""):
                    yield name, bars

        rates = fit_rates(by_class(folder.known_histories(through=options["through"])))
        if not rates.classes:
            raise CommandError("No class of symbols has enough days; see above.")
        options["out"].write_bytes(rates_file(rates))
        _report(rates, later_days(rates, by_class(folder.histories(through=date.max))), console)
        console.print(f"Written to {options['out']}.")


def _report(rates: BaseRates, later: dict[str, LaterDays], console: Console) -> None:
    table = Table(title="Base rates of rising days. t: of the Brier score beside that of 0.5", title_justify="left")
    for heading in ("", "through", "days", "rose", "rate", "t", "used", "later", "rose", "Brier", "t"):
        table.add_column(heading)
    for name, each in rates.classes.items():
        fitted = (each.through.isoformat(), f"{each.days}", f"{each.share:.4f}", f"{each.rate:.4f}", _told(each.test.t))
        after = later.get(name)
        outcome = (f"{after.days}", f"{after.share:.4f}", f"{after.brier:.5f}", _told(after.t)) if after else ("-",) * 4
        table.add_row(name, *fitted, "yes" if each.test.passed else "no", *outcome)
    console.print(table)


def _told(t: float | None) -> str:
    return "-" if t is None else f"{t:.2f}"
