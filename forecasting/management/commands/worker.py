"""`manage.py worker`: the background work of the service."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from forecasting import tasks
from forecasting.worker import RestartLimitError, Worker
from stockpred.processes import StopSignal


class Command(BaseCommand):
    """Both clusters, the schedules, and today's daily job."""

    help = "Runs trainings and the daily job until SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns after a clean stop; CommandError when a cluster cannot be kept running."""
        stop = StopSignal()
        tasks.ensure_schedules()
        tasks.request_daily_job()
        try:
            Worker().run(stop)
        except RestartLimitError as error:
            raise CommandError(str(error)) from error
