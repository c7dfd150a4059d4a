"""The heartbeats that workers leave in the database: which worker processes run, and where."""

import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

KEPT = timedelta(days=1)  # the row of a process that is gone, as long as any worker runs


class Beat(NamedTuple):
    """One heartbeat of a process: seconds since its start, and since it was seen working."""

    cluster: str
    pid: int
    started_s: float
    seen_s: float


class WorkerProcessQuerySet(models.QuerySet["WorkerProcess"]):
    """Reads and writes of heartbeats, by the database's clock, because clocks of machines differ."""

    def record(self, beats: Iterable[Beat]) -> None:
        """Stores the heartbeats of this machine's processes, and forgets processes that have been gone for KEPT."""
        rows = [
            WorkerProcess(
                host=socket.gethostname(),
                pid=beat.pid,
                cluster=beat.cluster,
                started_at=Now() - timedelta(seconds=beat.started_s),
                seen_at=Now() - timedelta(seconds=beat.seen_s),
            )
            for beat in beats
        ]
        told = ["cluster", "started_at", "seen_at"]
        self.bulk_create(rows, update_conflicts=True, unique_fields=["host", "pid"], update_fields=told)
        self.filter(seen_at__lt=Now() - KEPT).delete()

    def with_presence(self, *, within: timedelta) -> "WorkerProcessQuerySet":
        """Adds `is_there`: whether the process was seen within that time."""
        return self.annotate(is_there=Q(seen_at__gt=Now() - within))  # type: ignore[no-redef]  # the plugin

    def last_seen(self, *, within: timedelta) -> dict[str, tuple[datetime, bool]]:
        """By cluster, when a process of it was last seen, and whether that was within that time. One query."""
        newest = self.with_presence(within=within).order_by("cluster", "-seen_at").distinct("cluster")
        return {row.cluster: (row.seen_at, row.is_there) for row in newest}


class WorkerProcess(models.Model):
    """A worker, or one of the task clusters that it runs."""

    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField("process", help_text="Its id; of a cluster, that of its process group.")
    cluster = models.CharField(max_length=20, blank=True, help_text="Empty for the worker itself.")
    started_at = models.DateTimeField("started")
    seen_at = models.DateTimeField("last seen", help_text="When it last answered a ping, or had work in all its processes.")

    is_there: bool  # set by `with_presence`
    objects = WorkerProcessQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["-seen_at"]
        verbose_name_plural = "worker processes"
        constraints = [models.UniqueConstraint(fields=["host", "pid"], name="worker_one_row_per_process")]

    def __str__(self) -> str:
        return f"{self.cluster or 'worker'} {self.pid} on {self.host}"
