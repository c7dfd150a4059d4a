"""The worker: both task clusters as process groups, replaced when they end or hang, and trainings rescued whose trainer is gone."""

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from forecasting.background import daily, tasks
from forecasting.background.cluster import SupervisedCluster, forget_old_letters
from forecasting.runtime.processes import StopSignal
from forecasting.runtime.worker_lock import Sole
from forecasting.training import queue as training_queue

GRACE_SECONDS = 22  # a supervisor such as systemd or compose waits longer before it kills
LOOK_SECONDS = 0.5
RESCUE_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Worker:
    """Both clusters. When the worker stops or is killed, they notice by their lifelines, give trainings back and end."""

    def __init__(self, sole: Sole) -> None:
        """Starts the clusters."""
        self._sole = sole
        self._clusters = [
            SupervisedCluster(name, processes=processes, task_patience_s=patience_s, lock=sole.descriptor)
            for name, processes, patience_s in (
                ("short", settings.SHORT_TASK_PROCESSES, settings.SHORT_TASK_TIMEOUT),
                ("training", settings.TRAIN_WORKERS, settings.HANG_SECONDS + settings.LEASE_SECONDS),
            )
        ]
        self._note()
        self._rescue_at = time.monotonic()
        self._prepared = self._database_is_away = False

    def run(self, stop: StopSignal) -> None:
        """Watches over the clusters and the queue until the signal comes."""
        try:
            while not stop.wait(LOOK_SECONDS):
                self._with_database(self._care)
        finally:
            self._stop()

    def _care(self) -> None:
        if not self._prepared:
            tasks.ensure_schedules()
            daily.request()
            forget_old_letters()
            self._prepared = True
        changed = [cluster.watch() for cluster in self._clusters]
        if any(changed):
            self._note()
        if time.monotonic() >= self._rescue_at:
            training_queue.rescue()
            self._rescue_at = time.monotonic() + RESCUE_SECONDS

    def _stop(self) -> None:
        for cluster in self._clusters:
            cluster.ask_to_stop()
        ends = time.monotonic() + GRACE_SECONDS
        for cluster in self._clusters:
            cluster.stop(grace_s=max(0.0, ends - time.monotonic()))
        self._with_database(self._forget)

    def _forget(self) -> None:
        for cluster in self._clusters:
            cluster.forget()

    def _with_database(self, action: Callable[[], None]) -> None:
        """Without the database no cluster can answer, so none is blamed for it, and everything goes on when it is back."""
        try:
            action()
            self._database_is_away = False
        except (OperationalError, InterfaceError) as error:
            if not self._database_is_away:
                logger.error("the database is out of reach: %s", str(error).partition("\n")[0])
            self._database_is_away = True
            connection.close()
            for cluster in self._clusters:
                cluster.excuse()

    def _note(self) -> None:
        self._sole.note(cluster.group for cluster in self._clusters if cluster.group)
