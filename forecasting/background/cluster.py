"""One task cluster as a process group: started, supervised by its heartbeat, restarted if it ends or hangs."""

import logging
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.db.models.functions import Now
from django_q.models import OrmQ
from django_q.tasks import async_task

from forecasting.models.workers import Beat
from forecasting.runtime.broker import OWN_QUEUE
from forecasting.runtime.clock import Pace
from forecasting.runtime.heartbeat import HEARTBEAT_PIPE, PING, Heartbeat
from forecasting.runtime.processes import ProcessGroup
from forecasting.training import queue as training_queue

EARLY_END_SECONDS = 30.0  # a cluster that ends earlier than this after its start is restarted after a longer pause each time
LONGEST_PAUSE = 30.0  # seconds; restarts never stop, so that nobody has to start a cluster by hand
HUNG_GRACE_SECONDS = 5.0

logger = logging.getLogger(__name__)


def delete_old_pings() -> None:
    """Pings to clusters of a killed worker: nothing will ever answer them."""
    OrmQ.objects.filter(key__contains="@", lock__lt=Now() - timedelta(hours=1)).delete()


class SupervisedCluster:
    """A cluster of `processes` task processes.

    While all of them are busy, pings may stay unanswered. A task counts as busy for `task_limit_s` seconds after its last report.
    """

    def __init__(self, name: str, *, processes: int, task_limit_s: float, lock: int) -> None:
        """Starts the cluster; its processes inherit the descriptor `lock`."""
        self.name = name
        self._processes, self._task_limit_s, self._lock = processes, task_limit_s, lock
        self._early_ends = 0
        self._unreturned = ""  # why a cluster ended whose work is not back in the queue yet
        self._pace = Pace(longest_s=settings.HANG_SECONDS / 3)
        self._group: ProcessGroup | None = None
        self._start()

    @property
    def group(self) -> int | None:
        """The id of its process group; None during a pause before its restart."""
        return self._group.pid if self._group else None

    @property
    def beat(self) -> Beat | None:
        """Its heartbeat; None until it has answered its first ping."""
        now, seen = time.monotonic(), max(self._busy_at, self._heartbeat.answered_at)
        if self._group is None or seen <= self._started_at:
            return None
        return Beat(self.name, self._group.pid, started_s=now - self._started_at, seen_s=now - seen)

    def watch(self) -> bool:
        """Restarts the cluster if it has ended or hangs, and pings it if a ping is due; True if the process group changed.

        Raises database errors. If the cluster has ended, its processes are cleaned up first. After a suspension of this process,
        the cluster gets time to answer first: it may have been suspended, too.
        """
        if self._pace.was_suspended():
            self.restart_hang_timer()
        now = time.monotonic()  # read before the answers: a suspension between both would look like silence
        if self._group is None:
            self._return_work()
            return self._start_after_pause()
        if (status := self._group.ended()) is not None:
            self._end(f"ended with status {status}")
            return True
        self._heartbeat.read()
        if self._heartbeat.busy(within_s=self._task_limit_s) >= self._processes:
            self.restart_hang_timer()
            self._busy_at = time.monotonic()
        if now - max(self._hang_timer_at, self._heartbeat.answered_at, self._pinged_at) > settings.HANG_SECONDS:
            self._end(f"has not answered for {settings.HANG_SECONDS} s")
            return True
        self._ping()
        return False

    def restart_hang_timer(self) -> None:
        """Restarts the hang timer: until now the cluster could not answer."""
        self._hang_timer_at = time.monotonic()

    def ask_to_stop(self) -> None:
        """Tells the cluster to stop; it returns its trainings to the queue."""
        if self._group:
            self._group.ask_to_stop()

    def stop(self, *, grace_s: float) -> None:
        """Stops the cluster; kills it after `grace_s` seconds."""
        if self._group:
            self._group.stop(grace_s=grace_s)
            self._heartbeat.read()  # what it reported last
            self._heartbeat.close()
            self._group = None

    def release_work(self) -> None:
        """After a stop: returns trainings that the cluster could not return itself, uncounted, and its tasks."""
        training_queue.release_all(claimed_by=self._own_queue)
        self._release_tasks()

    def _start(self) -> None:
        self._own_queue = f"{self.name}@{uuid4().hex}"
        self._heartbeat = Heartbeat()
        self._started_at = self._hang_timer_at = self._pinged_at = self._busy_at = self._heartbeat.answered_at
        self._next_ping_at = self._started_at
        command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "cluster"]
        variables = {"Q_CLUSTER_NAME": self.name, OWN_QUEUE: self._own_queue, HEARTBEAT_PIPE: str(self._heartbeat.descriptor)}
        descriptors = [self._lock, self._heartbeat.descriptor]
        try:
            self._group = ProcessGroup(f"cluster {self.name}", command, env=variables, descriptors=descriptors)
        except OSError:
            self._heartbeat.close()
            raise

    def _end(self, why: str) -> None:
        """Kills what is left of the cluster, returns its work to the queue, and schedules its restart."""
        lived = time.monotonic() - self._started_at
        self._early_ends = self._early_ends + 1 if lived < EARLY_END_SECONDS else 0
        logger.error("cluster %s %s, %.0f s after its start; it is restarted in %.0f s", self.name, why, lived, self._pause_s())
        self.stop(grace_s=HUNG_GRACE_SECONDS)
        self._restart_at = time.monotonic() + self._pause_s()
        self._unreturned = why
        self._return_work()

    def _return_work(self) -> None:
        """Returns the trainings and tasks of a cluster that has ended; again at the next look if the database does not answer."""
        if self._unreturned:
            training_queue.take_back(claimed_by=self._own_queue, error=f"The task cluster {self._unreturned}.")
            self._release_tasks()
            self._unreturned = ""

    def _release_tasks(self) -> None:
        """Unlocks the tasks that it had dequeued, so that others run them at once, and deletes its pings."""
        OrmQ.objects.filter(key=self._own_queue).delete()
        OrmQ.objects.filter(pk__in=self._heartbeat.taken).update(lock=Now())

    def _pause_s(self) -> float:
        return min(LONGEST_PAUSE, 2.0 ** min(self._early_ends, 10) - 1)

    def _start_after_pause(self) -> bool:
        if time.monotonic() < self._restart_at:
            return False
        try:
            self._start()
        except OSError as error:
            self._early_ends += 1
            self._restart_at = time.monotonic() + self._pause_s()
            logger.error("cluster %s cannot be started: %s; tried again in %.0f s", self.name, error.strerror, self._pause_s())
            return False
        return True

    def _ping(self) -> None:
        """Sends a ping if the last one was answered and HEARTBEAT_SECONDS have passed."""
        if self._heartbeat.answered_at >= self._pinged_at and time.monotonic() >= self._next_ping_at:
            async_task(PING, cluster=self._own_queue, save=False)
            self._pinged_at = time.monotonic()
            self._next_ping_at = self._pinged_at + settings.HEARTBEAT_SECONDS
