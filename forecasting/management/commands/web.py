"""`manage.py web`: runs the web server."""

import os
import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from forecasting.runtime.processes import die_with_parent, stop_pipe


class Command(BaseCommand):
    """Runs gunicorn with settings that were fast in measurements."""

    help = "Serves the API and the admin until SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        """Becomes gunicorn; does not return."""
        if stop_pipe() is not None:
            die_with_parent(signal.SIGTERM)
        command = [
            *(sys.executable, "-m", "gunicorn", "stockpred.wsgi"),
            *("--bind", f"{settings.HOST}:{settings.PORT}"),
            *("--worker-class", "gthread", "--workers", "2", "--threads", "4"),
            *("--timeout", "60", "--graceful-timeout", "10", "--log-level", "warning"),
            "--no-control-socket",
        ]
        os.execv(sys.executable, command)  # noqa: S606 - a fixed command, no shell
