"""`manage.py trainer`: the trainer process, started by the training cluster."""

import logging
import os
import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand

from forecasting.background.trainer_child import serve
from forecasting.runtime.processes import NICENESS, die_with_parent

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Reads requests from standard input and answers on standard output; started by the training cluster."""

    help = "Runs the trainings that the training cluster sends."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """Returns when the parent closes the pipe."""
        parent = os.getppid()
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            return  # the parent died before the death signal was set
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
        os.nice(NICENESS)
        # Keep the output of libraries out of the answers.
        answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            serve(sys.stdin, answers)
        except Exception:
            logger.exception("the trainer failed")
            raise
