"""`manage.py web`: runs the web server."""

import os
import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from forecasting.runtime.processes import die_with_parent, lifeline


class Command(BaseCommand):
    """Runs gunicorn with settings that were fast in measurements."""

    help = "Serves the API and the admin until SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        """Replaces this process with gunicorn; does not return."""
        if lifeline() is not None:
            die_with_parent(signal.SIGTERM)
        command = [
            *(sys.executable, "-m", "gunicorn", "stockpred.wsgi"),
            *("--bind", f"{settings.HOST}:{settings.PORT}"),
            *("--worker-class", "gthread", "--workers", "2", "--threads", "4"),
            *("--timeout", "60", "--graceful-timeout", "10", "--log-level", "warning"),
            "--no-control-socket",
        ]
        os.execv(sys.executable, command)  # noqa: S606 - a fixed command, no shell
