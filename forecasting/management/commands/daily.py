"""`manage.py daily`: the daily job at the terminal, or what it would do."""

from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting import market, registry, tasks
from forecasting.management.price_folder import day
from forecasting.models import Forecast, JobRun, ModelVersion, Symbol

SHOWN = 10  # symbols of a reason


class Command(BaseCommand):
    """Does what the schedule does, as often as one asks: a date that is done stays done."""

    help = "Newest prices, scores, forecasts and retrainings, once a date; interrupted runs go on from where they stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """The date whose run it is, and whether only to tell."""
        parser.add_argument("--date", type=day, metavar="DATE", help="whose run it is; today by default")
        parser.add_argument("--dry-run", action="store_true", help="show what it would do, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints what became of it, or the plan; CommandError where the date has not come."""
        wanted: date = options["date"] or timezone.localdate()
        if wanted > timezone.localdate():
            raise CommandError(f"--date {wanted} has not come yet.")
        if options["dry_run"]:
            self._show(wanted)
            return
        outcome = tasks.daily_job(wanted)
        rest = "; the worker does the rest" if outcome == "goes on" else ""
        self.stdout.write(f"Daily job of {wanted}: {outcome}{rest}.")

    def _show(self, wanted: date) -> None:
        run = JobRun.objects.filter(job=tasks.DAILY_JOB, date=wanted).first()
        asked = Symbol.objects.worth_asking(now=timezone.now()).filter(pk__gt=run.report.get("last_symbol", 0) if run else 0)
        with_bars, current = Symbol.objects.with_bars(), Forecast.objects.from_newest_bar().values("symbol").distinct()
        paused = " (the price source is left alone at present)" if market.is_paused() else ""
        expired = ModelVersion.objects.all().beyond_newest(settings.KEEP_VERSIONS).count()
        lines = [
            f"Run of {wanted}: {run.state if run else 'none yet'}.",
            f"Prices of {asked.count()} symbols would be brought up to date{paused}.",
            f"Forecasts of {Forecast.objects.due().count()} sessions that have happened would be scored.",
            f"{with_bars.count()} symbols would be forecast; {current.count()} of them have a forecast from their newest bar.",
            *(self._line(reason.label, symbols) for reason, symbols in tasks.retrainings().items()),
            f"Files of {expired} old versions would be given up, {len(registry.orphans())} folders removed.",
        ]
        for line in lines:
            self.stdout.write(line)

    def _line(self, reason: str, symbols: list[Symbol]) -> str:
        names = ", ".join(symbol.ticker for symbol in symbols[:SHOWN]) + (", ..." if len(symbols) > SHOWN else "")
        return f"Retrained because of {reason}: {len(symbols)}{f' ({names})' if names else ''}."
