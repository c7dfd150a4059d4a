"""`manage.py stop_postgres`: stop the embedded Postgres, and with `--destroy` delete its data."""

from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from stockpred.embedded_postgres.server import EmbeddedPostgres, EmbeddedPostgresError


class Command(BaseCommand):
    """Leaves a database of DATABASE_URL alone."""

    help = "Stops the embedded Postgres. The next command that needs the database starts it again."
    requires_system_checks = ()  # it must work whatever else is wrong

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add `--destroy`."""
        parser.add_argument("--destroy", action="store_true", help="also delete the database with all its data")

    def handle(self, *, destroy: bool, **options: object) -> None:
        """Stop, perhaps delete, and say so. Raises CommandError if the server cannot be stopped."""
        server: EmbeddedPostgres | None = settings.EMBEDDED_POSTGRES
        if server is None:
            self.stdout.write("DATABASE_URL is set: there is no embedded Postgres, and that database is left alone.")
            return
        try:
            stopped = server.destroy() if destroy else server.stop()
        except EmbeddedPostgresError as error:
            raise CommandError(str(error)) from error
        state = ("stopped" if stopped else "was not running") + (" and is deleted" if destroy else "")
        self.stdout.write(f"The embedded Postgres in {server.folders.root} {state}.")
