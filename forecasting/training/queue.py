"""The training queue: claim, renew, finish and rescue trainings.

The row is the source of truth. The django-q2 task only wakes a worker; row and task commit together. Claiming a row raises its
`fence`, and every later write requires that fence. A process that lost its claim can therefore change nothing any more.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Now
from django_q.models import OrmQ
from django_q.tasks import async_task

from forecasting.models import Symbol, Training
from forecasting.models.trainings import MAX_ATTEMPTS, TrainingState

CLUSTER = "training"
RETRY_PAUSES = (timedelta(seconds=5), timedelta(seconds=30))  # before the second and the third attempt

logger = logging.getLogger(__name__)


def wake_worker() -> None:
    """Enqueues one task that drains the queue. It wakes the next worker itself if more trainings are due."""
    async_task("forecasting.background.tasks.drain_training_queue", cluster=CLUSTER)


def wake_worker_if_needed() -> None:
    """Wakes a worker if a training is due and no such task waits."""
    if Training.objects.claimable().exists() and not OrmQ.objects.filter(key=CLUSTER, lock__lte=Now()).exists():
        wake_worker()


def claim(*, by: str = "", among: Iterable[int] | None = None) -> Training | None:
    """Claims the most urgent due training, of all or of those with these primary keys; None if nothing is due.

    One transaction raises fence and attempts and grants a lease, before any work starts. If more trainings are due, it wakes
    another worker.
    """
    due = Training.objects.claimable() if among is None else Training.objects.claimable().filter(pk__in=list(among))
    with transaction.atomic():
        training = due.select_for_update(skip_locked=True, of=("self",)).select_related("symbol").first()
        if training is None:
            return None
        Training.objects.filter(pk=training.pk).update(
            state=TrainingState.RUNNING,
            attempts=F("attempts") + 1,
            fence=F("fence") + 1,
            lease_expires_at=_lease(),
            claimed_by=by,
            started_at=Case(When(started_at__isnull=True, then=Now()), default=F("started_at")),
            stage="starting",
            progress=0.0,
        )
        training.refresh_from_db()
        wake_worker_if_needed()
    logger.info("training claimed, attempt %d of %d", training.attempts, MAX_ATTEMPTS, extra=training.log_fields)
    return training


def renew(training: Training) -> bool:
    """Extends the lease; False if the training is no longer ours."""
    return bool(_held(training).update(lease_expires_at=_lease()))


def report(training: Training, *, stage: str, fraction: float, epoch: int | None = None, epochs: int | None = None) -> bool:
    """Stores the progress and extends the lease; False if the training is no longer ours."""
    progress = {"stage": stage, "progress": fraction, "epoch": epoch, "epochs": epochs}
    return bool(_held(training).update(**progress, lease_expires_at=_lease()))


def is_published(training: Training) -> bool:
    """Whether its result has been published by its last claim."""
    return Training.objects.filter(pk=training.pk, fence=training.fence, state=TrainingState.SUCCEEDED).exists()


def retry(training: Training, *, error: str) -> None:
    """Ends an attempt after a transient error: requeues the training, or fails it after the last attempt."""
    if training.attempts >= MAX_ATTEMPTS:
        fail(training, error=f"{error} ({MAX_ATTEMPTS} attempts)")
        return
    pause = RETRY_PAUSES[training.attempts - 1]
    with transaction.atomic():
        if not _requeue(training, not_before=Now() + pause, error=error):
            return
        wake_worker()
    logger.warning("attempt %d failed, it will be retried: %s", training.attempts, error, extra=training.log_fields)


def postpone(training: Training, *, until: datetime, error: str) -> None:
    """Requeues a training until `until`, because `error`; the attempt does not count."""
    if _requeue(training, not_before=until, error=error, attempts=F("attempts") - 1):
        logger.warning("training postponed until %s: %s", until.isoformat(timespec="seconds"), error, extra=training.log_fields)


def fail(training: Training, *, error: str) -> None:
    """Fails a training after a permanent error."""
    if _held(training).update(state=TrainingState.FAILED, error=error, finished_at=Now(), lease_expires_at=None):
        logger.error("training failed: %s", error, extra=training.log_fields)


def fail_waiting(symbol: Symbol, *, error: str) -> None:
    """Fails the symbol's queued training, if any, because it could not succeed."""
    if Training.objects.queued().of([symbol]).update(state=TrainingState.FAILED, error=error, finished_at=Now()):
        logger.error("queued training failed before it started: %s", error, extra={"symbol": symbol.ticker})


def release(training: Training) -> None:
    """Requeues a training because its worker stops; the attempt does not count."""
    with transaction.atomic():
        if not _requeue(training, not_before=Now(), attempts=F("attempts") - 1):
            return
        wake_worker()
    logger.info("training requeued: its worker stops", extra=training.log_fields)


def cancel(training: Training, *, by: str) -> bool:
    """Cancels an active training at a user's request; False if it had already ended. Its trainer, if any, will be stopped."""
    cancelled = (
        Training.objects.active()
        .filter(pk=training.pk)
        .update(state=TrainingState.CANCELLED, finished_at=Now(), lease_expires_at=None)
    )
    if cancelled:
        logger.info("training cancelled by %s", by, extra=training.log_fields)
    return bool(cancelled)


def rescue() -> int:
    """Takes back trainings with an expired lease, and wakes a worker if trainings are due; returns how many it took back."""
    return _take_back(Training.objects.expired(), error="The worker disappeared during the training.")


def take_back(*, claimed_by: str, error: str) -> int:
    """Takes back, at once, the trainings of a cluster that is certainly gone; their attempts count."""
    return _take_back(Training.objects.running().filter(claimed_by=claimed_by), error=error)


def release_all(*, claimed_by: str) -> None:
    """Requeues the trainings of a cluster that was stopped with its worker; their attempts do not count."""
    for training in Training.objects.running().filter(claimed_by=claimed_by).select_related("symbol"):
        release(training)


def _take_back(lost: QuerySet[Training], *, error: str) -> int:
    with transaction.atomic():
        rows = list(lost.select_for_update(skip_locked=True, of=("self",)).select_related("symbol"))
        for training in rows:
            retry(training, error=error)
        wake_worker_if_needed()
    return len(rows)


def _requeue(training: Training, **values: object) -> int:
    work = {"stage": "", "progress": 0.0, "epoch": None, "epochs": None, "lease_expires_at": None, "claimed_by": ""}
    cleared = {"state": TrainingState.QUEUED} | work
    return _held(training).update(**(cleared | values))


def _held(training: Training) -> QuerySet[Training]:
    return Training.objects.held(training_id=training.pk, fence=training.fence)


def _lease() -> Any:
    """When a lease granted now expires, by the database's clock."""
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)
