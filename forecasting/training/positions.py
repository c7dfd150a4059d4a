"""Positions of trainings in the queue, and their expected waits, estimated from past durations."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.utils import timezone

from forecasting.models import Training
from forecasting.models.trainings import TrainingState
from forecasting.training.queue import CLUSTER
from forecasting.training.workers import absence


@dataclass(frozen=True, slots=True)
class Position:
    """The position of an active training, and when it will probably end."""

    number: int = 0  # in the queue, from 1; 0 if it runs
    expected_wait_s: int | None = None  # None as long as no training has succeeded, and if it waits for a worker
    absence: str = ""  # since when there is no worker, if it waits for one


def positions_of(trainings: Iterable[Training | None], *, by_worker: bool = True) -> dict[int, Position]:
    """The positions of the active trainings among these, by primary key. Three queries; none if nothing is active.

    `by_worker` is false if the caller trains them itself.
    """
    active = [training for training in trainings if training and training.is_active]
    if not active:
        return {}
    numbers = _numbers([training.pk for training in active if training.state == TrainingState.QUEUED])
    typical, absent = Training.objects.all().typical_seconds(), absence(CLUSTER) if by_worker else ""
    return {training.pk: position(training, numbers.get(training.pk, 0), typical, absent) for training in active}


def position(training: Training, number: int, typical_s: float | None, absent: str) -> Position:
    """That of an active training with this `number`. Without a worker, it goes on only if somebody else renews its lease."""
    if absent and not (training.lease_expires_at and training.lease_expires_at > timezone.now()):
        return Position(number, absence=absent)
    return Position(number, None if typical_s is None else _expected_wait(training, number, typical_s))


def _numbers(keys: list[int]) -> dict[int, int]:
    """The positions of these queued trainings: due ones in the order of TrainingQuerySet.in_claim_order, then the others."""
    query = """
        SELECT id, number FROM (
            SELECT id, row_number() OVER (ORDER BY not_before > statement_timestamp(), priority DESC, created_at, id) AS number
            FROM forecasting_training WHERE state = 'queued'
        ) AS waiting
        WHERE id = ANY (%s)
    """
    if not keys:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(query, [keys])
        return dict(cursor.fetchall())


def _expected_wait(training: Training, number: int, typical_s: float) -> int:
    """Seconds until it ends. A running training needs what is left of it; a queued one waits for those before it.

    TRAIN_WORKERS trainers work through the queue in parallel, and running trainings count as half done. A training that is not
    due yet waits at least until it is.
    """
    if not number:
        return round(typical_s * (1 - training.progress))
    until_due = (training.not_before - timezone.now()).total_seconds()
    return round(max(seconds_for(number, typical_s), typical_s + until_due))


def seconds_for(waiting: int, typical_s: float) -> float:
    """Until so many due trainings have ended."""
    return typical_s * (math.ceil(waiting / settings.TRAIN_WORKERS) + 0.5)
