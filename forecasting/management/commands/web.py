"""`manage.py web`: runs the web server."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from forecasting.metrics import enabled
from forecasting.metrics.counters import Slots, folder
from forecasting.runtime.processes import StopSignal
from forecasting.runtime.web_processes import WebProcessError, WebProcesses, listen

PROCESSES = 2


class Command(BaseCommand):
    """Holds the port; its child processes answer."""

    help = "Serves the API and the admin until SIGTERM or Ctrl-C. SIGHUP restarts its processes one after the other."
    requires_system_checks = ()  # its processes check

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns after a clean stop. Raises CommandError if the port is taken or the processes cannot start."""
        stop = StopSignal()
        if enabled():
            Slots(folder()).forget_dead()
        try:
            WebProcesses(listen(settings.HOST, settings.PORT), count=PROCESSES).run(stop)
        except WebProcessError as error:
            raise CommandError(str(error)) from error
