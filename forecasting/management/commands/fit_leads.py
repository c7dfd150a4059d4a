"""`manage.py fit_leads`: fits the lead model of a base on price files, apart from its network."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from forecasting import registry, terminal
from forecasting.management.price_folder import PriceFolder, day, lead_markets, ticker
from forecasting.pipeline.model.lead_fitting import fit_leads
from forecasting.pipeline.model.leads import LeadModel
from forecasting.pipeline.serving import artifacts
from forecasting.prices.bars import between
from forecasting.prices.calendars import exchange_of
from forecasting.prices.markets import sessions_like

FEWEST = 0.1  # share of an exchange's bars on each side of --through; else its first half is used


class Command(BaseCommand):
    """Uses neither the database nor the active base."""

    help = "Fits what leads (SPY, ^N225) change in forecasts of exchanges that open after they have closed; writes leads.json."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Prices, leads, the last session to use, and the output file."""
        parser.add_argument("--prices", type=Path, required=True, metavar="DIR", help="SYMBOL.csv files, also in subfolders")
        parser.add_argument("--leads", type=Path, required=True, metavar="DIR", help="SYMBOL.csv files of leads; none of --prices")
        parser.add_argument("--symbols", nargs="+", type=ticker, metavar="SYMBOL", help="default: all in the folder")
        parser.add_argument(
            "--through",
            type=day,
            metavar="DATE",
            help="the last session to use; of an exchange with few bars before or after it, the first half of the bars is used",
        )
        parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="leads.json in the folder of a base")

    def handle(self, *args: Any, **options: Any) -> None:
        """Writes the file and prints a table. Raises CommandError if no exchange has enough bars."""
        console = terminal.console()
        folder = PriceFolder(options["prices"], options["symbols"], console, without=options["leads"])
        markets = lead_markets(options["leads"], console)
        histories = dict(folder.histories(through=date.max))
        ends = _ends(histories, options["through"])
        known = ((symbol, between(bars, first=None, last=ends[_exchange(symbol)])) for symbol, bars in histories.items())
        leads = fit_leads(known, markets, registry.forecast_config())
        if not leads.exchanges:
            raise CommandError("No exchange with leads has enough bars; see above.")
        options["out"].write_bytes(artifacts.leads_file(leads))
        _report(leads, console)
        console.print(f"Written to {options['out']}.")


def _exchange(symbol: str) -> str:
    return sessions_like(exchange_of(symbol))


def _ends(histories: Mapping[str, pd.DataFrame], through: date | None) -> dict[str, date]:
    """The last session to use, by exchange."""
    days: dict[str, list[pd.Index]] = defaultdict(list)
    for symbol, bars in histories.items():
        days[_exchange(symbol)].append(bars.index)
    return {exchange: _end(np.sort(np.concatenate(each)), through or date.max) for exchange, each in days.items()}


def _end(days: Any, through: date) -> date:
    """`days`: sessions of all bars of an exchange, ascending, (bars,) datetime64."""
    share = float((days <= np.datetime64(through)).mean())
    middle: date = pd.Timestamp(days[len(days) // 2]).date()
    return through if through == date.max or FEWEST <= share <= 1 - FEWEST else middle


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
