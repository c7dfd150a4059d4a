"""`manage.py worker`: runs the background work of the service."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from forecasting.background.worker import Worker
from forecasting.runtime.processes import StopSignal
from forecasting.runtime.worker_lock import AnotherWorkerError, sole_worker

PATIENCE_SECONDS = 5  # maximum wait for another worker that is stopping
ORPHAN_SECONDS = 20  # maximum wait for the clusters of a killed worker, which end by themselves


class Command(BaseCommand):
    """Runs both clusters, the schedules, today's daily job and the rescue of trainings."""

    help = "Runs trainings and the daily job until SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns after a clean stop. Raises CommandError if another worker runs on this machine."""
        try:
            with sole_worker(Path(settings.STATE_DIR), patience_s=PATIENCE_SECONDS, grace_s=ORPHAN_SECONDS) as sole:
                stop = StopSignal()  # before this line, the signal just ends the process: nothing runs yet
                Worker(sole).run(stop)
        except AnotherWorkerError as error:
            raise CommandError(str(error)) from error
