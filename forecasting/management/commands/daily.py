"""`manage.py daily`: the daily job at the terminal, or what it would do."""

from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting.background import daily
from forecasting.management.price_folder import day


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
            self.stdout.write("\n".join(daily.describe(wanted)))
            return
        outcome = daily.run(wanted)
        rest = "; the worker continues it" if outcome == "not finished" else ""
        self.stdout.write(f"Daily job of {wanted}: {outcome}{rest}.")
