"""`manage.py stop_postgres`: stops the embedded Postgres; `--destroy` also deletes its data."""

import sys
from argparse import ArgumentParser
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from forecasting.runtime.service_lock import who_runs
from stockpred.embedded_postgres.server import EmbeddedPostgres, EmbeddedPostgresError

IN_USE = 3  # exit status; `make clean` deletes nothing then


class Command(BaseCommand):
    """Never changes a database given by DATABASE_URL, and asks before it takes one from a running service."""

    help = "Stops the embedded Postgres. The next command that needs the database starts it again."
    requires_system_checks = ()  # it must work even if the checks fail

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The flags `--destroy` and `--force`."""
        parser.add_argument("--destroy", action="store_true", help="also delete the database with all its data")
        parser.add_argument("--force", action="store_true", help="even if a service runs on it")

    def handle(self, *, destroy: bool, force: bool, **options: object) -> None:
        """Stops the server, deletes its data with `--destroy`, and prints the result. Raises CommandError if that fails."""
        server: EmbeddedPostgres | None = settings.EMBEDDED_POSTGRES
        if server is None:
            self.stdout.write("DATABASE_URL is set, so there is no embedded Postgres. That database is not changed.")
            return
        if not force:
            self._ask_if_used()
        try:
            stopped = server.destroy() if destroy else server.stop()
        except EmbeddedPostgresError as error:
            raise CommandError(str(error)) from error
        state = ("stopped" if stopped else "was not running") + (" and is deleted" if destroy else "")
        self.stdout.write(f"The embedded Postgres in {server.folders.root} {state}.")

    def _ask_if_used(self) -> None:
        """Returns if no service runs in this folder, or a person at a terminal agrees. Raises CommandError."""
        user = who_runs(Path(settings.STATE_DIR))
        if user is None:
            return
        told = f"{user} runs on the Postgres of {settings.STATE_DIR}."
        if not sys.stdin.isatty():
            raise CommandError(f"{told} Stop it first, or use --force.", returncode=IN_USE)
        if input(f"{told} Take it away all the same? [y/N] ").strip().lower() != "y":
            raise CommandError("Nothing is stopped.", returncode=IN_USE)
