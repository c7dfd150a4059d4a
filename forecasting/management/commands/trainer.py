"""`manage.py trainer`: the trainer process, started by the training cluster."""

import logging
import os
import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand

from forecasting.background.trainer_child import serve
from forecasting.runtime.processes import die_with_parent

NICENESS = 10  # trainings give way to the web server

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Reads requests from its standard input and answers on its standard output; not for people."""

    help = "Trains what the training cluster hands it."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns when the parent closes its end."""
        parent = os.getppid()
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            return  # it died before it could take us along
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
        os.nice(NICENESS)
        # What libraries print must not mix with the answers.
        answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            serve(sys.stdin, answers)
        except Exception:
            logger.exception("the trainer ends")
            raise
