"""Trainings: consistent rows, one active training per symbol, read in claim order."""

import math
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from forecasting.models import Training
from forecasting.models.trainings import TrainingReason, TrainingState
from tests.factories import make_symbol, make_training
from tests.models.refusals import refused_by

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("ticker", ["SAMPLE1", None], ids=["symbol", "base"])
@pytest.mark.parametrize("state", [TrainingState.QUEUED, TrainingState.RUNNING])
def test_a_symbol_has_one_active_training(ticker: str | None, state: TrainingState) -> None:
    symbol = make_symbol(ticker) if ticker else None
    make_training(symbol, state=state)
    with refused_by("training_one_active_per_symbol"):
        make_training(symbol)


@pytest.mark.parametrize("ended", [TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.CANCELLED])
def test_an_ended_training_makes_room_for_another(ended: TrainingState) -> None:
    symbol = make_symbol()
    make_training(symbol, state=ended)
    make_training(symbol, state=ended)
    make_training(symbol)
    assert Training.objects.active().count() == 1


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"state": "paused", "finished_at": timezone.now()}, "training_state_known"),
        ({"reason": "boredom", "priority": 1}, "training_reason_known"),
        ({"progress": 1.01}, "training_progress_is_a_fraction"),
        ({"progress": -0.01}, "training_progress_is_a_fraction"),
        ({"progress": math.nan}, "training_progress_is_a_fraction"),
        ({"state": TrainingState.RUNNING, "lease_expires_at": None}, "training_running_has_lease"),
        ({"state": TrainingState.SUCCEEDED, "finished_at": None}, "training_ended_has_time"),
        ({"state": TrainingState.FAILED, "error": ""}, "training_failed_says_why"),
    ],
)
def test_a_training_that_contradicts_itself_is_refused(wrong: dict[str, Any], constraint: str) -> None:
    training = make_training(make_symbol())
    with refused_by(constraint):
        Training.objects.filter(pk=training.pk).update(**({"finished_at": timezone.now()} | wrong))


def test_claimable_leaves_out_what_is_paused_or_not_queued() -> None:
    due = make_training(make_symbol("SAMPLE1"))
    make_training(make_symbol("SAMPLE2"), not_before=timezone.now() + timedelta(minutes=1))
    make_training(make_symbol("SAMPLE3"), state=TrainingState.RUNNING)
    assert list(Training.objects.claimable()) == [due]


def test_the_most_urgent_training_comes_first_and_the_oldest_among_equals() -> None:
    now = timezone.now()
    old, urgent, new = (
        make_training(make_symbol(ticker), reason=reason, created_at=now - timedelta(minutes=age))
        for ticker, reason, age in [
            ("SAMPLE1", TrainingReason.TOO_OLD, 9),
            ("SAMPLE2", TrainingReason.REQUESTED, 5),
            ("SAMPLE3", TrainingReason.TOO_OLD, 1),
        ]
    )
    assert list(Training.objects.in_claim_order()) == [urgent, old, new]


def test_expired_are_running_trainings_whose_lease_ran_out() -> None:
    past, future = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(minutes=1)
    lost = make_training(make_symbol("SAMPLE1"), state=TrainingState.RUNNING, lease_expires_at=past)
    make_training(make_symbol("SAMPLE2"), state=TrainingState.RUNNING, lease_expires_at=future)
    make_training(make_symbol("SAMPLE3"), lease_expires_at=past)
    assert list(Training.objects.expired()) == [lost]


def test_newest_per_symbol_is_one_row_a_symbol() -> None:
    first, second = make_symbol("SAMPLE1"), make_symbol("SAMPLE2")
    make_training(first, state=TrainingState.FAILED)
    newest = [make_training(first), make_training(second, state=TrainingState.SUCCEEDED)]
    assert list(Training.objects.of([first, second]).newest_per_symbol()) == newest


def test_a_training_lasts_from_its_first_start_to_its_end() -> None:
    end = timezone.now()
    training = make_training(make_symbol(), state=TrainingState.SUCCEEDED, started_at=end - timedelta(seconds=7), finished_at=end)
    assert training.duration == timedelta(seconds=7)
    assert make_training(None).duration is None
