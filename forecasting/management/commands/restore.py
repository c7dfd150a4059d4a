"""`manage.py restore FILE`: restores a backup into an empty database and an empty folder of models."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from forecasting.backup import BackupError, restore, verified
from forecasting.runtime.processes import end_on_signals


class Command(BaseCommand):
    """Replaces nothing: a place that is not empty is refused."""

    help = "Restores a backup into an empty database and folder of models, after checking every hash in it."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The backup, `--check` and `--trial`."""
        parser.add_argument("file", type=Path, help="a file that `manage.py backup` has written")
        either = parser.add_mutually_exclusive_group()
        either.add_argument("--check", action="store_true", help="only check that the file is complete and undamaged")
        either.add_argument("--trial", action="store_true", help="for a copy beside the service: its webhooks are told of nothing")

    def handle(self, *, file: Path, check: bool, trial: bool, **options: Any) -> None:
        """Prints what was restored. Raises CommandError; then nothing has been changed."""
        end_on_signals()
        try:
            manifest = verified(file) if check else restore(file, trial=trial, waiting=self._say_why)
        except BackupError as error:
            raise CommandError(str(error)) from error
        rows = ", ".join(f"{count:,} {name}" for name, count in manifest.rows.items())
        told = "is undamaged" if check else "is restored"
        self.stdout.write(f"The backup of {manifest.made_at}, release {manifest.release}, {told}: {rows}.")

    def _say_why(self) -> None:
        self.stdout.write("Waiting for a migration or a backup ...")
        self.stdout.flush()
