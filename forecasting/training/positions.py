"""Positions of trainings in the queue, and how long they will probably take, judged by the durations that were measured."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.utils import timezone

from forecasting.models import Training
from forecasting.models.trainings import TrainingState


@dataclass(frozen=True, slots=True)
class Position:
    """Where an active training stands, and when it will probably have ended."""

    number: int = 0  # in the queue, from 1; 0 while it runs
    expected_wait_s: int | None = None  # None before any training has been measured


def positions_of(trainings: Iterable[Training | None]) -> dict[int, Position]:
    """The positions of the active ones among these, by primary key. Two queries, none if nothing is active."""
    active = [training for training in trainings if training and training.is_active]
    if not active:
        return {}
    numbers = _numbers([training.pk for training in active if training.state == TrainingState.QUEUED])
    typical = Training.objects.all().typical_seconds()
    return {
        training.pk: Position(number, None if typical is None else _expected_wait(training, number, typical))
        for training in active
        for number in [numbers.get(training.pk, 0)]
    }


def _numbers(keys: list[int]) -> dict[int, int]:
    """The positions of these waiting trainings, in the order of TrainingQuerySet.in_claim_order."""
    query = """
        SELECT id, number FROM (
            SELECT id, row_number() OVER (ORDER BY priority DESC, created_at, id) AS number
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
    """Seconds until it ends: its own rest, or the rounds that TRAIN_WORKERS trainers need for it and those before it.

    Those that are being trained now count as half done. One that is not due yet waits for that first.
    """
    if not number:
        return round(typical_s * (1 - training.progress))
    until_due = (training.not_before - timezone.now()).total_seconds()
    return round(max(typical_s * (math.ceil(number / settings.TRAIN_WORKERS) + 0.5), typical_s + until_due))
