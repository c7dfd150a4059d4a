"""The worker: runs both task clusters as process groups, restarts them if they end or hang, and wakes them for
orphaned trainings and due webhooks. It leaves its heartbeat and theirs in the database."""

import logging
import os
import time
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from forecasting import registry
from forecasting.background import daily, tasks, webhooks
from forecasting.background.cluster import SupervisedCluster, delete_old_pings
from forecasting.models import WorkerProcess
from forecasting.models.workers import Beat
from forecasting.runtime.clock import Pace
from forecasting.runtime.processes import StopSignal
from forecasting.runtime.worker_lock import WorkerLock
from forecasting.training import queue as training_queue

GRACE_SECONDS = 22  # less than a supervisor such as systemd or Docker Compose waits before it kills
CHECK_SECONDS = 0.5
RESCUE_SECONDS = 2.0
SWEEP_SECONDS = 24 * 60 * 60.0  # the daily job sweeps one machine only
BEATS_PER_PING = 3  # heartbeats stored: an answer must not be nearly as old as HANG_SECONDS before anybody can read of it

logger = logging.getLogger(__name__)


class Worker:
    """Supervises both clusters.

    If the worker stops or is killed, the clusters notice by their stop pipes, return their trainings to the queue and end.
    """

    def __init__(self, lock: WorkerLock) -> None:
        """Starts the clusters."""
        self._lock = lock
        self._clusters = [
            SupervisedCluster(name, processes=processes, task_limit_s=limit_s, lock=lock.descriptor)
            for name, processes, limit_s in (
                ("short", settings.SHORT_TASK_PROCESSES, settings.SHORT_TASK_TIMEOUT),
                ("training", settings.TRAIN_WORKERS, settings.HANG_SECONDS + settings.LEASE_SECONDS),
            )
        ]
        self._record_groups()
        self._started_at = self._rescue_at = self._beat_at = self._sweep_at = time.monotonic()
        self._pace = Pace(longest_s=settings.LEASE_SECONDS / 2)
        self._prepared = self._database_is_down = False

    def run(self, stop: StopSignal) -> None:
        """Supervises the clusters and the queue until the stop signal."""
        try:
            while not stop.wait(CHECK_SECONDS):
                self._with_database(self._supervise)
        finally:
            self._stop()

    def _supervise(self) -> None:
        if not self._prepared:
            tasks.ensure_schedules()
            daily.request()
            delete_old_pings()
            self._prepared = True
        if self._pace.was_suspended():  # so was who works on a training here: it renews its lease before it is rescued
            self._rescue_at = time.monotonic() + settings.LEASE_SECONDS
        changed = [cluster.watch() for cluster in self._clusters]
        if any(changed):
            self._record_groups()
        if time.monotonic() >= self._rescue_at:
            training_queue.rescue()
            webhooks.wake_if_due()
            self._rescue_at = time.monotonic() + RESCUE_SECONDS
        if time.monotonic() >= self._beat_at:
            self._record_beats()
            self._beat_at = time.monotonic() + settings.HEARTBEAT_SECONDS / BEATS_PER_PING
        if registry.models_bucket() and time.monotonic() >= self._sweep_at:
            registry.sweep_folder()
            self._sweep_at = time.monotonic() + SWEEP_SECONDS

    def _record_beats(self) -> None:
        mine = Beat("", os.getpid(), started_s=time.monotonic() - self._started_at, seen_s=0.0)
        WorkerProcess.objects.all().record([mine, *filter(None, (cluster.beat for cluster in self._clusters))])

    def _stop(self) -> None:
        for cluster in self._clusters:
            cluster.ask_to_stop()
        ends = time.monotonic() + GRACE_SECONDS
        for cluster in self._clusters:
            cluster.stop(grace_s=max(0.0, ends - time.monotonic()))
        self._with_database(self._release_work)

    def _release_work(self) -> None:
        for cluster in self._clusters:
            cluster.release_work()

    def _with_database(self, action: Callable[[], None]) -> None:
        """Without the database no cluster can answer pings: restarts the hang timers, so that no cluster counts as hung."""
        try:
            action()
            self._database_is_down = False
        except (OperationalError, InterfaceError) as error:
            if not self._database_is_down:
                logger.error("the database is unreachable: %s", str(error).partition("\n")[0])
            self._database_is_down = True
            connection.close()
            for cluster in self._clusters:
                cluster.restart_hang_timer()

    def _record_groups(self) -> None:
        self._lock.record_groups(cluster.group for cluster in self._clusters if cluster.group)
