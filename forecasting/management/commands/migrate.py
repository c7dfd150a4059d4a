"""`manage.py migrate`: Django's, one at a time."""

from typing import Any

from django.core.management.commands import migrate

from forecasting.models.locks import Lock, lock_when_free


class Command(migrate.Command):
    """Machines and containers that start together may all call it: the first one migrates, the others wait and find it done."""

    def handle(self, *args: Any, **options: Any) -> None:
        """As Django's. Waits while another process migrates, or makes or restores a backup."""
        if options["check_unapplied"] or options["plan"]:  # these change nothing
            super().handle(*args, **options)
            return
        with lock_when_free(Lock.MIGRATIONS, waiting=self._say_why):
            super().handle(*args, **options)

    def _say_why(self) -> None:
        self.stdout.write("Waiting for another migration, or for a backup ...")
        self.stdout.flush()
