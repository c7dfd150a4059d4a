"""`manage.py stop_postgres`: stops the embedded Postgres; `--destroy` also deletes its data."""

from argparse import ArgumentParser

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from stockpred.embedded_postgres.server import EmbeddedPostgres, EmbeddedPostgresError


class Command(BaseCommand):
    """Never changes a database given by DATABASE_URL."""

    help = "Stops the embedded Postgres. The next command that needs the database starts it again."
    requires_system_checks = ()  # it must work even if the checks fail

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The flag `--destroy`."""
        parser.add_argument("--destroy", action="store_true", help="also delete the database with all its data")

    def handle(self, *, destroy: bool, **options: object) -> None:
        """Stops the server, deletes its data with `--destroy`, and prints the result. Raises CommandError if that fails."""
        server: EmbeddedPostgres | None = settings.EMBEDDED_POSTGRES
        if server is None:
            self.stdout.write("DATABASE_URL is set, so there is no embedded Postgres. That database is not changed.")
            return
        try:
            stopped = server.destroy() if destroy else server.stop()
        except EmbeddedPostgresError as error:
            raise CommandError(str(error)) from error
        state = ("stopped" if stopped else "was not running") + (" and is deleted" if destroy else "")
        self.stdout.write(f"The embedded Postgres in {server.folders.root} {state}.")
