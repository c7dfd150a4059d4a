"""`manage.py daily`: runs the daily job at the terminal, or shows what it would do."""

from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from forecasting.background import daily
from forecasting.management.price_folder import day


class Command(BaseCommand):
    """Runs the same job as the schedule. A date that is done is not repeated."""

    help = "Updates prices, scores, forecasts and retrainings, once per date; an interrupted run resumes."

    def add_arguments(self, parser: CommandParser) -> None:
        """The date of the run, and whether it is a dry run."""
        parser.add_argument("--date", type=day, metavar="DATE", help="date of the run (default: the one that is due)")
        parser.add_argument("--dry-run", action="store_true", help="show what it would do, without changes")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the result or the plan. Raises CommandError if the date is in the future."""
        wanted: date = options["date"] or daily.due_date()
        if wanted > timezone.localdate():
            raise CommandError(f"--date {wanted} is in the future.")
        if options["dry_run"]:
            self.stdout.write("\n".join(daily.describe(wanted)))
            return
        outcome = daily.run(wanted)
        rest = "; the worker continues it" if outcome == "not finished" else ""
        self.stdout.write(f"Daily job of {wanted}: {outcome}{rest}.")
