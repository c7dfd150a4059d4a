"""`manage.py backup FILE`: writes database and model files to one archive, while the service runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from forecasting.backup import BackupError, back_up
from forecasting.runtime.processes import end_on_signals


class Command(BaseCommand):
    """Not in it: SECRET_KEY, .env, sessions and logs."""

    help = "Writes the database and the model files, as they are now, to one new file. The service may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The new file."""
        parser.add_argument("file", type=Path, help="a name that does not exist yet, such as 2026-11-27.backup")

    def handle(self, *, file: Path, **options: Any) -> None:
        """Prints what was saved. Raises CommandError if there is no backup."""
        end_on_signals()
        try:
            manifest = back_up(file, waiting=self._say_why)
        except BackupError as error:
            raise CommandError(str(error)) from error
        for name in manifest.left_out:
            self.stderr.write(f"Left out, because it is missing or damaged: {name}")
        rows = ", ".join(f"{count:,} {name}" for name, count in manifest.rows.items())
        self.stdout.write(f"{file}: {file.stat().st_size / 1e6:.1f} MB with {rows}, {len(manifest.model_files):,} model files.")
        self.stdout.write(f"It can be restored into Postgres {manifest.postgres} or newer.")

    def _say_why(self) -> None:
        self.stdout.write("Waiting for a migration, another backup, or the removal of old files ...")
        self.stdout.flush()
