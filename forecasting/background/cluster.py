"""One task cluster as a process group: started, watched by its pulse, replaced where it ended or stopped working."""

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

from forecasting.runtime.broker import LETTERBOX
from forecasting.runtime.heartbeat import ANSWER, PULSE, Pulse
from forecasting.runtime.processes import ProcessGroup
from forecasting.training import queue as training_queue

YOUNG_SECONDS = 30.0  # a cluster that ends earlier did not get well by its restart: the next one is put off
LONGEST_PAUSE = 30.0  # seconds; it is never given up, so that nobody has to start it by hand
HUNG_GRACE_SECONDS = 5.0

logger = logging.getLogger(__name__)


def forget_old_letters() -> None:
    """Letters to clusters whose worker was killed, which nobody will ever read."""
    OrmQ.objects.filter(key__contains="@", lock__lt=Now() - timedelta(hours=1)).delete()


class SupervisedCluster:
    """A cluster of `processes` task processes. A task that says nothing for `task_patience_s` is no excuse for unread letters."""

    def __init__(self, name: str, *, processes: int, task_patience_s: float, lock: int) -> None:
        """Starts it; its processes inherit the descriptor `lock`."""
        self.name = name
        self._processes, self._task_patience_s, self._lock = processes, task_patience_s, lock
        self._young_ends = 0
        self._group: ProcessGroup | None = None
        self._start()

    @property
    def group(self) -> int | None:
        """The id of its process group, None during a pause before its restart."""
        return self._group.pid if self._group else None

    def watch(self) -> bool:
        """Starts it again where it has ended or hangs, sends it a letter where it is due; True if the process group changed.

        Needs the database, but for an end; raises its errors.
        """
        if self._group is None:
            return self._start_after_pause()
        if (status := self._group.ended()) is not None:
            self._end(f"ended with status {status}")
            return True
        self._pulse.listen()
        if self._pulse.busy(patience_s=self._task_patience_s) >= self._processes:
            self.excuse()
        if time.monotonic() - max(self._excused_at, self._pulse.answered_at, self._sent_at) > settings.HANG_SECONDS:
            self._end(f"has not answered for {settings.HANG_SECONDS} s")
            return True
        self._write()
        return False

    def excuse(self) -> None:
        """There was a reason why no letter was answered until now."""
        self._excused_at = time.monotonic()

    def ask_to_stop(self) -> None:
        """Its lifeline is dropped: trainings are given back."""
        if self._group:
            self._group.ask_to_stop()

    def stop(self, *, grace_s: float) -> None:
        """Ends it, by force after `grace_s`."""
        if self._group:
            self._group.stop(grace_s=grace_s)
            self._pulse.listen()  # to its last words
            self._pulse.close()
            self._group = None

    def forget(self) -> None:
        """After a stop: a training that it could not give back any more goes back uncounted, and so do its tasks."""
        training_queue.release_all(claimed_by=self._letterbox)
        self._give_back_tasks()

    def _start(self) -> None:
        self._letterbox = f"{self.name}@{uuid4().hex}"
        self._pulse = Pulse()
        self._started_at = self._excused_at = self._sent_at = self._pulse.answered_at
        self._next_letter_at = self._started_at
        command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "cluster"]
        variables = {"Q_CLUSTER_NAME": self.name, LETTERBOX: self._letterbox, PULSE: str(self._pulse.descriptor)}
        descriptors = [self._lock, self._pulse.descriptor]
        self._group = ProcessGroup(f"cluster {self.name}", command, env=variables, descriptors=descriptors)

    def _end(self, why: str) -> None:
        """Ends what is left of it, and takes back what it had claimed."""
        lived = time.monotonic() - self._started_at
        self._young_ends = self._young_ends + 1 if lived < YOUNG_SECONDS else 0
        pause = min(LONGEST_PAUSE, 2.0**self._young_ends - 1)
        logger.error("cluster %s %s after %.0f s; it is started again in %.0f s", self.name, why, lived, pause)
        self.stop(grace_s=HUNG_GRACE_SECONDS)
        self._restart_at = time.monotonic() + pause
        training_queue.take_back(claimed_by=self._letterbox, error=f"The task cluster {why}.")
        self._give_back_tasks()

    def _give_back_tasks(self) -> None:
        """Tasks that it had taken are others' to do, at once; its letters are nobody's."""
        OrmQ.objects.filter(key=self._letterbox).delete()
        OrmQ.objects.filter(pk__in=self._pulse.taken).update(lock=Now())

    def _start_after_pause(self) -> bool:
        if time.monotonic() < self._restart_at:
            return False
        self._start()
        return True

    def _write(self) -> None:
        """A letter, where the last one was answered and some time has passed."""
        if self._pulse.answered_at >= self._sent_at and time.monotonic() >= self._next_letter_at:
            async_task(ANSWER, cluster=self._letterbox, save=False)
            self._sent_at = time.monotonic()
            self._next_letter_at = self._sent_at + settings.HEARTBEAT_SECONDS
