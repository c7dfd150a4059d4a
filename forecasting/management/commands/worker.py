"""`manage.py worker`: runs the background work of the service."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from forecasting.background import alerts
from forecasting.background.worker import Worker
from forecasting.runtime.processes import StopSignal
from forecasting.runtime.worker_lock import AnotherWorkerError, worker_lock

PATIENCE_SECONDS = 5  # maximum wait for another worker that is stopping
ORPHAN_SECONDS = 20  # maximum wait for the clusters of a killed worker, which end by themselves


class Command(BaseCommand):
    """Runs both clusters, the schedules, today's daily job and the rescue of trainings."""

    help = "Runs trainings and the daily job until SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns after a clean stop. Raises CommandError if another worker runs on this machine."""
        try:
            with worker_lock(Path(settings.STATE_DIR), patience_s=PATIENCE_SECONDS, grace_s=ORPHAN_SECONDS) as lock:
                stop = StopSignal()  # until now the signal just ends it: nothing runs yet
                alerts.watch(stop)
                Worker(lock).run(stop)
        except AnotherWorkerError as error:
            raise CommandError(str(error)) from error
