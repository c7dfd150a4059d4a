"""The worker: both task clusters as process groups, started together, replaced when one ends, stopped together."""

import logging
import sys
import time
from collections import deque
from pathlib import Path

from django.conf import settings

from stockpred.processes import ProcessGroup, StopSignal

CLUSTERS = ("short", "training")
GRACE_SECONDS = 25  # a supervisor such as systemd or compose waits longer before it kills
RESTARTS = 5  # within RESTART_WINDOW; more often means that a restart does not help
RESTART_WINDOW = 300.0  # seconds

logger = logging.getLogger(__name__)


class RestartLimitError(Exception):
    """A cluster ends again and again."""


class Worker:
    """Both clusters. When the worker stops or is killed, they notice by their lifelines, give trainings back and end."""

    def __init__(self) -> None:
        """Starts the clusters."""
        self._restarts: deque[float] = deque(maxlen=RESTARTS)
        self._clusters = {name: _start(name) for name in CLUSTERS}

    def run(self, stop: StopSignal) -> None:
        """Watches the clusters until the signal comes. Raises RestartLimitError when restarting does not help."""
        try:
            while not stop.wait(1.0):
                for name, cluster in self._clusters.items():
                    if (status := cluster.ended()) is not None:
                        self._replace(name, status)
        finally:
            self._stop()

    def _replace(self, name: str, status: int) -> None:
        """Kills what is left of a cluster and starts it anew."""
        logger.error("cluster %s ended with status %d and is started again", name, status)
        self._clusters[name].stop(grace_s=0)
        if len(self._restarts) == RESTARTS and time.monotonic() - self._restarts[0] < RESTART_WINDOW:
            raise RestartLimitError(f"Cluster {name} ended {RESTARTS + 1} times within {RESTART_WINDOW:.0f} s; see the log.")
        self._restarts.append(time.monotonic())
        self._clusters[name] = _start(name)

    def _stop(self) -> None:
        for cluster in self._clusters.values():
            cluster.ask_to_stop()
        ends = time.monotonic() + GRACE_SECONDS
        for cluster in self._clusters.values():
            cluster.stop(grace_s=max(0.0, ends - time.monotonic()))


def _start(name: str) -> ProcessGroup:
    command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "cluster"]
    return ProcessGroup(f"cluster {name}", command, env={"Q_CLUSTER_NAME": name})
