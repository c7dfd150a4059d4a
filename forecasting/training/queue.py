"""The training queue: claim, renew, finish and rescue trainings.

A training is a row first and a doorbell second: both commit together, so that neither exists without the other. Who works on a row
holds its `fence`; every later write asks for that fence, so that a process that was given up can change nothing any more.
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


def ring() -> None:
    """Rings for a trainer, which takes all that wait; it rings for the next trainer where more is due."""
    async_task("forecasting.background.tasks.drain_training_queue", cluster=CLUSTER)


def ring_if_unheard() -> None:
    """Rings where a training is due and no doorbell waits to be heard."""
    if Training.objects.claimable().exists() and not OrmQ.objects.filter(key=CLUSTER, lock__lte=Now()).exists():
        ring()


def claim(*, by: str = "", among: Iterable[int] | None = None) -> Training | None:
    """Takes the most urgent due training, of all or of those primary keys, before any work is done on it.

    Its fence and attempts are raised and a lease is granted, in one transaction; None where nothing is due. Where more is due
    than this one, another trainer is rung for.
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
        ring_if_unheard()
    logger.info("training claimed, attempt %d of %d", training.attempts, MAX_ATTEMPTS, extra=training.log_fields)
    return training


def renew(training: Training) -> bool:
    """Extends the lease; False when the training is no longer ours."""
    return bool(_held(training).update(lease_expires_at=_lease()))


def report(training: Training, *, stage: str, fraction: float, epoch: int | None = None, epochs: int | None = None) -> bool:
    """Notes how far the work is and extends the lease; False when the training is no longer ours."""
    far = {"stage": stage, "progress": fraction, "epoch": epoch, "epochs": epochs}
    return bool(_held(training).update(**far, lease_expires_at=_lease()))


def retry(training: Training, *, error: str) -> None:
    """An attempt that may succeed another time has failed: back to the queue, or failed after the last attempt."""
    if training.attempts >= MAX_ATTEMPTS:
        fail(training, error=f"{error} ({MAX_ATTEMPTS} attempts)")
        return
    pause = RETRY_PAUSES[training.attempts - 1]
    with transaction.atomic():
        if not _requeue(training, not_before=Now() + pause, error=error):
            return
        ring()
    logger.warning("attempt %d failed, trying again: %s", training.attempts, error, extra=training.log_fields)


def postpone(training: Training, *, until: datetime, error: str) -> None:
    """Back to the queue until what it needs can be had, `error` says why; the attempt is not counted."""
    if _requeue(training, not_before=until, error=error, attempts=F("attempts") - 1):
        logger.warning("training waits until %s: %s", until.isoformat(timespec="seconds"), error, extra=training.log_fields)


def fail(training: Training, *, error: str) -> None:
    """Ends a training that cannot succeed, with the reason."""
    if _held(training).update(state=TrainingState.FAILED, error=error, finished_at=Now(), lease_expires_at=None):
        logger.error("training failed: %s", error, extra=training.log_fields)


def fail_waiting(symbol: Symbol, *, error: str) -> None:
    """Ends a training of the symbol that waits and could only fail, with the reason."""
    if Training.objects.queued().of([symbol]).update(state=TrainingState.FAILED, error=error, finished_at=Now()):
        logger.error("training failed before its turn: %s", error, extra={"symbol": symbol.ticker})


def release(training: Training) -> None:
    """Gives a training back unharmed, because its worker stops: the attempt is not counted."""
    with transaction.atomic():
        if not _requeue(training, not_before=Now(), attempts=F("attempts") - 1):
            return
        ring()
    logger.info("training back in the queue: its worker stops", extra=training.log_fields)


def cancel(training: Training, *, by: str) -> bool:
    """Ends an active training at a person's wish; False when it had ended already. A trainer at work on it is stopped."""
    cancelled = (
        Training.objects.active()
        .filter(pk=training.pk)
        .update(state=TrainingState.CANCELLED, finished_at=Now(), lease_expires_at=None)
    )
    if cancelled:
        logger.info("training cancelled by %s", by, extra=training.log_fields)
    return bool(cancelled)


def rescue() -> int:
    """Takes trainings back whose lease ran out, and rings where work waits unrung; returns how many were taken back."""
    return _take_back(Training.objects.expired(), error="The worker disappeared during the training.")


def take_back(*, claimed_by: str, error: str) -> int:
    """Takes back what a trainer held that is gone for certain, at once; the attempt is counted."""
    return _take_back(Training.objects.running().filter(claimed_by=claimed_by), error=error)


def release_all(*, claimed_by: str) -> None:
    """Gives back what a trainer held that was ended with its worker; the attempt is not counted."""
    for training in Training.objects.running().filter(claimed_by=claimed_by).select_related("symbol"):
        release(training)


def _take_back(lost: QuerySet[Training], *, error: str) -> int:
    with transaction.atomic():
        rows = list(lost.select_for_update(skip_locked=True, of=("self",)).select_related("symbol"))
        for training in rows:
            retry(training, error=error)
        ring_if_unheard()
    return len(rows)


def _requeue(training: Training, **values: object) -> int:
    work = {"stage": "", "progress": 0.0, "epoch": None, "epochs": None, "lease_expires_at": None, "claimed_by": ""}
    cleared = {"state": TrainingState.QUEUED} | work
    return _held(training).update(**(cleared | values))


def _held(training: Training) -> QuerySet[Training]:
    return Training.objects.held(training_id=training.pk, fence=training.fence)


def _lease() -> Any:
    """When a lease ends that is granted now, by the database's clock."""
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)
