"""`manage.py fit_leads`: fits the lead model of a base on price files, apart from its network."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from forecasting import registry, terminal
from forecasting.management.price_folder import PriceFolder, add_fit_arguments, lead_markets
from forecasting.pipeline.model.lead_fitting import fit_leads
from forecasting.pipeline.model.leads import LeadModel
from forecasting.pipeline.serving.trained import leads_file


class Command(BaseCommand):
    """Uses neither the database nor the active base."""

    help = "Fits what leads (SPY, ^N225) change in forecasts of exchanges that open after they have closed; writes leads.json."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Prices, leads, the last session to use, and the output file."""
        add_fit_arguments(parser, out="leads.json")
        parser.add_argument("--leads", type=Path, required=True, metavar="DIR", help="SYMBOL.csv files of leads; none of --prices")

    def handle(self, *args: Any, **options: Any) -> None:
        """Writes the file and prints a table. Raises CommandError if no exchange has enough bars."""
        console = terminal.console()
        folder = PriceFolder(options["prices"], options["symbols"], console, without=options["leads"])
        markets = lead_markets(options["leads"], console)
        leads = fit_leads(folder.known_histories(through=options["through"]), markets, registry.forecast_config())
        if not leads.exchanges:
            raise CommandError("No exchange with leads has enough bars; see above.")
        options["out"].write_bytes(leads_file(leads))
        _report(leads, console)
        console.print(f"Written to {options['out']}.")


def _report(leads: LeadModel, console: Console) -> None:
    table = Table(title="What the moves of leads change, in units of volatility", title_justify="left")
    for heading in ("", "leads", "betas; own", "width", "t", "region's", "used", "rows", "through"):
        table.add_column(heading)
    for exchange, each in leads.exchanges.items():
        numbers = (" ".join(f"{value:.3f}" for value in values) for values in (each.betas, each.width))
        tests = ("-" if value is None else f"{value:.2f}" for value in (each.test.t, each.test.region_t))
        used = "yes" if each.test.passed else "no"
        table.add_row(exchange, " ".join(each.leads), *numbers, *tests, used, str(each.rows), each.through.isoformat())
    console.print(table)
