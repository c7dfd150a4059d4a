"""Whether the service is ready: the state of each part that it needs, with one sentence."""

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Exists, Q, Value
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ

from forecasting import market, registry
from forecasting.models import JobRun, Training
from forecasting.models.jobs import JobState
from forecasting.training.workers import CLUSTERS, absence

STANDSTILL = timedelta(minutes=15)  # longer than any task may take
RUNS = 30  # of the daily job, of which the newest one that did not fail counts
DAILY = timedelta(hours=26)  # between two daily runs; the second one may need longer than the first


class State(StrEnum):
    """State of a part. The service is not ready if one is `failed` or `unknown`."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Part:
    """The state of one part, and what it means."""

    status: State
    text: str

    @property
    def is_ready(self) -> bool:
        """Whether the service can do all its work with this part."""
        return self.status in {State.OK, State.WARNING}


def parts() -> dict[str, Part]:
    """Each part by its name. Without the database, or before its migrations, what depends on it is unknown."""
    unknown = Part(State.UNKNOWN, "Not known without the database and its tables.")
    database = _database()
    migrations = _migrations() if database.is_ready else unknown
    others = {name: find() if migrations.is_ready else unknown for name, find in NEED_TABLES.items()}
    return {"database": database, "migrations": migrations, **others, "media": _media()}


def _database() -> Part:
    try:
        with connection.cursor() as cursor:  # a statement, because an open connection may lead to a dead server
            cursor.execute("SELECT 1")
    except (OperationalError, InterfaceError):
        return Part(State.FAILED, "It cannot be reached.")
    return Part(State.OK, "It answers.")


def _migrations() -> Part:
    applied = MigrationRecorder(connection).applied_migrations()
    missing = sorted(f"{app}.{name}" for app, name in _newest_migrations() - applied.keys())
    if missing:
        return Part(State.FAILED, f"Not applied: {', '.join(missing)}. Run `manage.py migrate`.")
    return Part(State.OK, "All are applied.")


def worker(absent: str | None = None) -> Part:
    """Whether the task clusters answer, by the `absence` of one, which is read if it is not given."""
    if absent is None:
        absent = absence(*CLUSTERS)
    return Part(State.FAILED, absent) if absent else Part(State.OK, "Its task clusters answer.")


def queue() -> Part:
    """Not how long the queue is: a training may wait for hours behind others, as long as one of them runs or has just ended.

    One query.
    """
    minutes = int(STANDSTILL.total_seconds() / 60)
    tasks = OrmQ.objects.filter(key="short", lock__lt=Now() - STANDSTILL).values_list(Value("task"))
    moves = Q(lease_expires_at__gt=Now()) | Q(finished_at__gt=Now() - STANDSTILL)
    waiting = Training.objects.queued().filter(~Exists(Training.objects.filter(moves)), not_before__lt=Now() - STANDSTILL)
    late = {what for (what,) in tasks.union(waiting.order_by().values_list(Value("training")))}
    if "task" in late:
        return Part(State.FAILED, f"A task has waited for more than {minutes} minutes.")
    if "training" in late:
        return Part(State.FAILED, f"A training has waited for more than {minutes} minutes, although none runs.")
    return Part(State.OK, "Nothing waits for too long.")


def daily_job(runs: Sequence[JobRun] | None = None) -> Part:
    """By the last runs, newest first; they are read if they are not given."""
    last = list(JobRun.objects.order_by("-date").defer("report")[:RUNS]) if runs is None else runs
    recent = (run for run in last if run.state != JobState.FAILED and _is_recent(run))
    if run := next(recent, None):
        failed = f"The run of {last[0].date} failed ({last[0].error}). " if last[0].state == JobState.FAILED else ""
        state = State.WARNING if failed or run.state == JobState.INCOMPLETE else State.OK
        return Part(state, f"{failed}Run of {run.date}: {run.told_state}{f' ({run.error})' if run.error else ''}.")
    is_new = not _is_older_than(DAILY)
    if last:
        return Part(State.WARNING if is_new else State.FAILED, f"The last run is that of {last[0].date}: {last[0].told_state}.")
    return Part(State.OK, "No run yet; the database is new.") if is_new else Part(State.FAILED, "It has never run.")


def price_source() -> Part:
    """Whether the price source may be asked."""
    paused = market.why_paused()
    if paused:
        return Part(State.WARNING, f"{paused[0].upper()}{paused[1:]}.")
    return Part(State.OK, f"{settings.PRICE_SOURCE} {'may be asked' if market.is_remote() else 'needs no network'}.")


def _media() -> Part:
    """Writes a file without a name, and reads it; where there is no model yet, in the folder above."""
    root = registry.models_root()
    try:
        folder = next(each for each in (root, *root.parents) if each.exists())
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"ready")
            file.seek(0)
            intact = file.read() == b"ready"
        if bucket := registry.models_bucket():
            bucket.content("ready")
    except OSError as error:
        return Part(State.FAILED, f"Model files cannot be written: {error.strerror}.")
    return Part(State.OK, "Model files can be written and read.") if intact else Part(State.FAILED, "What is written is lost.")


NEED_TABLES: dict[str, Callable[[], Part]] = {
    "worker": worker,
    "queue": queue,
    "daily_job": daily_job,
    "price_source": price_source,
}


@functools.cache
def _newest_migrations() -> frozenset[tuple[str, str]]:
    """The last migration of each app in this process's code; it requires all others."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def _is_recent(run: JobRun) -> bool:
    since = timezone.now() - DAILY
    return max(run.started_at, run.finished_at or run.started_at) > since


def _is_older_than(age: timedelta) -> bool:
    """Whether the database is, by its first migration."""
    return MigrationRecorder(connection).migration_qs.filter(applied__lt=Now() - age).exists()
