"""`manage.py fit_live`: fits the live model of a base on price files, apart from its network."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from forecasting import registry, terminal
from forecasting.management.hourly_folder import HourlyFolder
from forecasting.management.price_folder import PriceFolder, add_fit_arguments
from forecasting.pipeline.model.live import LiveModel
from forecasting.pipeline.model.live_fitting import fit_live
from forecasting.pipeline.serving.trained import live_file


class Command(BaseCommand):
    """Uses neither the database nor the active base."""

    help = "Fits forecasts during the session: openings on daily bars, the course of a session on hourly ones; writes live.json."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Daily and hourly prices, the last session to use, and the output file."""
        add_fit_arguments(parser, out="live.json")
        parser.add_argument("--hourly", type=Path, metavar="DIR", help="SYMBOL.csv files of hourly bars of New York, as traded")
        parser.add_argument("--splits", type=Path, metavar="FILE", help="splits of the hourly bars: symbol,date,ratio")

    def handle(self, *args: Any, **options: Any) -> None:
        """Writes the file and prints a table. Raises CommandError if no exchange has enough bars."""
        console = terminal.console()
        folder = PriceFolder(options["prices"], options["symbols"], console)
        hours = HourlyFolder(options["hourly"], options["splits"], None, console).hours(through=options["through"])
        live = fit_live(folder.known_histories(through=options["through"]), hours, registry.forecast_config())
        if not live.openings:
            raise CommandError("No exchange has enough bars; see above.")
        options["out"].write_bytes(live_file(live))
        _report(live, console)
        console.print(f"Written to {options['out']}.")


def _report(live: LiveModel, console: Console) -> None:
    table = Table(title="Sessions from the open, relative to the forecast of the day before", title_justify="left")
    for heading in ("", "width", "per gap", "left", "t", "used", "rows", "through"):
        table.add_column(heading)
    for exchange, each in live.openings.items():
        t = "-" if each.test.t is None else f"{each.test.t:.2f}"
        numbers = (f"{value:.3f}" for value in (each.intercept, each.slope, each.left))
        table.add_row(exchange, *numbers, t, "yes" if each.test.passed else "no", str(each.rows), str(each.through))
    console.print(table)
    course = Table(title=f"The course of a session, from hours through {live.hours_through}", title_justify="left")
    for heading in ("time", "variance", "usual size", "response", "levels"):
        course.add_column(heading)
    for node in live.course.nodes:
        numbers = (f"{value:.3f}" for value in (node.fraction, node.elapsed, node.usual, node.response))
        course.add_row(*numbers, " ".join(f"{level:.2f}" for level in node.levels[len(node.levels) // 2 + 1 :]))
    console.print(course)
