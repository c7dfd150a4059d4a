"""The training queue: each training is claimed once, leased, never lost, and never changed by a process without the claim."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from forecasting.models import Training
from forecasting.models.trainings import MAX_ATTEMPTS, TrainingReason, TrainingState
from forecasting.training import queue as training_queue
from tests.factories import make_claimed, make_symbol, make_training
from tests.racing import at_once
from tests.task_queue import queued_tasks
from tests.training.writes import WRITES

pytestmark = pytest.mark.django_db

DRAIN = "forecasting.background.tasks.drain_training_queue"


def expire(training: Training) -> None:
    Training.objects.filter(pk=training.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def row(training: Training) -> dict[str, Any]:
    """All columns, from the database."""
    return dict(Training.objects.values().get(pk=training.pk))


# Claims


def test_a_claim_takes_the_most_urgent_and_among_equals_the_oldest() -> None:
    now = timezone.now()
    expected = [
        make_training(make_symbol(ticker), reason=reason, created_at=now - timedelta(minutes=age))
        for ticker, reason, age in [
            ("SAMPLE1", TrainingReason.REQUESTED, 1),
            ("SAMPLE2", TrainingReason.NEVER_TRAINED, 9),
            ("SAMPLE3", TrainingReason.NEVER_TRAINED, 8),
            ("SAMPLE4", TrainingReason.TOO_OLD, 99),
        ]
    ]
    assert [training_queue.claim() for _ in range(5)] == [*expected, None]


def test_a_claim_counts_the_attempt_and_grants_a_lease_before_any_work() -> None:
    make_training(make_symbol(), progress=0.5)
    training = training_queue.claim()
    assert training
    assert (training.state, training.attempts, training.fence) == (TrainingState.RUNNING, 1, 1)
    assert (training.claimed_by, training.stage, training.progress) == ("", "starting", 0.0)
    assert training.started_at
    assert training.lease_expires_at
    assert training.lease_expires_at - timezone.now() == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=5))


def test_a_training_keeps_the_time_of_its_first_start() -> None:
    first_start = timezone.now() - timedelta(hours=1)
    make_training(make_symbol(), started_at=first_start, attempts=1, fence=4)
    training = training_queue.claim()
    assert training
    assert (training.started_at, training.attempts, training.fence) == (first_start, 2, 5)


def test_the_error_of_the_last_attempt_stays_visible_during_the_next_one() -> None:
    training_queue.retry(make_claimed(make_symbol()), error="The network is down.")
    Training.objects.update(not_before=timezone.now())
    training = training_queue.claim()
    assert training
    assert training.error == "The network is down."


def test_a_paused_training_is_not_claimed_yet() -> None:
    make_training(make_symbol(), not_before=timezone.now() + timedelta(minutes=1))
    assert training_queue.claim() is None


def test_a_claim_among_some_trainings_ignores_the_others() -> None:
    make_training(make_symbol("SAMPLE1"))
    mine = make_training(make_symbol("SAMPLE2"), reason=TrainingReason.TOO_OLD)
    assert [training_queue.claim(among=[mine.pk]) for _ in range(2)] == [mine, None]


def test_a_claim_wakes_another_worker_only_if_more_trainings_are_due() -> None:
    make_training(make_symbol("SAMPLE1"))
    make_training(make_symbol("SAMPLE2"))
    training_queue.claim()
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]
    OrmQ.objects.all().delete()
    training_queue.claim()
    assert queued_tasks(training_queue.CLUSTER) == []


@pytest.mark.django_db(transaction=True)
def test_concurrent_claims_get_different_trainings() -> None:
    expected = {make_training(make_symbol(f"SAMPLE{number}")).pk for number in range(8)}
    claimed = at_once([training_queue.claim] * 10)
    keys = [training.pk for training in claimed if training]
    assert (len(keys), set(keys)) == (8, expected)


@pytest.mark.django_db(transaction=True)
def test_a_claim_does_not_wait_for_another_one() -> None:
    first, second = make_training(make_symbol("SAMPLE1")), make_training(make_symbol("SAMPLE2"))
    with transaction.atomic():
        assert training_queue.claim() == first
        assert at_once([training_queue.claim]) == [second]


# Work


def test_a_report_shows_the_progress_and_extends_the_lease() -> None:
    training = make_claimed(make_symbol())
    expire(training)
    assert training_queue.report(training, stage="fit", fraction=0.25, epoch=3, epochs=40)
    assert {"stage": "fit", "progress": 0.25, "epoch": 3, "epochs": 40}.items() <= row(training).items()
    assert not Training.objects.expired().exists()


def test_a_renewal_extends_the_lease() -> None:
    training = make_claimed(make_symbol())
    expire(training)
    assert training_queue.renew(training)
    assert not Training.objects.expired().exists()


@pytest.mark.parametrize(("attempt", "pause"), [(1, 5), (2, 30)])
def test_a_retry_waits_longer_after_each_attempt(attempt: int, pause: int) -> None:
    training = make_claimed(make_symbol())
    training.attempts = attempt
    before = timezone.now()
    training_queue.retry(training, error="The network is down.")
    training.refresh_from_db()
    assert (training.state, training.error) == (TrainingState.QUEUED, "The network is down.")
    assert (training.lease_expires_at, training.stage, training.progress) == (None, "", 0.0)
    assert before <= training.not_before - timedelta(seconds=pause) <= timezone.now()
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]


def test_a_training_fails_after_its_last_attempt_with_the_reason() -> None:
    make_training(make_symbol())
    for _ in range(MAX_ATTEMPTS):
        Training.objects.update(not_before=timezone.now())
        training = training_queue.claim()
        assert training
        training_queue.retry(training, error="The network is down.")
    training = Training.objects.get()
    assert (training.state, training.error) == (TrainingState.FAILED, "The network is down. (3 attempts)")
    assert training.finished_at
    assert training_queue.claim() is None


def test_a_training_that_cannot_succeed_fails_at_once() -> None:
    training = make_claimed(make_symbol())
    training_queue.fail(training, error="SAMPLE1 has 3 bars.")
    ended = {"state": "failed", "error": "SAMPLE1 has 3 bars.", "attempts": 1, "lease_expires_at": None}
    assert ended.items() <= row(training).items()


def test_a_requeued_training_shows_nothing_of_its_last_attempt() -> None:
    waiting = {"stage": "", "progress": 0.0, "epoch": None, "epochs": None, "lease_expires_at": None, "claimed_by": ""}
    make_training(make_symbol())
    training = training_queue.claim(by="cluster")
    assert training
    training_queue.report(training, stage="fit", fraction=0.25, epoch=3, epochs=40)
    training_queue.release(training)
    assert waiting.items() <= row(training).items()


def test_a_postponed_training_waits_until_then_and_the_attempt_does_not_count() -> None:
    training = make_claimed(make_symbol())
    later = timezone.now() + timedelta(minutes=15)
    training_queue.postpone(training, until=later, error="The source is paused.")
    postponed = {"state": "queued", "attempts": 0, "not_before": later, "error": "The source is paused."}
    assert postponed.items() <= row(training).items()


def test_a_released_training_does_not_lose_the_attempt() -> None:
    training = make_claimed(make_symbol())
    training_queue.release(training)
    training.refresh_from_db()
    assert (training.state, training.attempts, training.error) == (TrainingState.QUEUED, 0, "")
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]
    assert training_queue.claim() == training


@pytest.mark.parametrize("state", [TrainingState.QUEUED, TrainingState.RUNNING])
def test_an_active_training_can_be_cancelled(state: TrainingState) -> None:
    training, other = make_training(make_symbol("SAMPLE1"), state=state), make_training(make_symbol("SAMPLE2"))
    assert training_queue.cancel(training, by="ana")
    training.refresh_from_db()
    assert row(other)["state"] == "queued"
    assert (training.state, training.lease_expires_at) == (TrainingState.CANCELLED, None)
    assert training.finished_at


def test_an_ended_training_cannot_be_cancelled() -> None:
    training = make_training(make_symbol(), state=TrainingState.SUCCEEDED)
    before = row(training)
    assert not training_queue.cancel(training, by="ana")
    assert row(training) == before


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_trainer_that_lost_its_training_changes_nothing(
    write: Callable[[Training], object], caplog: pytest.LogCaptureFixture
) -> None:
    lost = make_claimed(make_symbol())
    expire(lost)
    training_queue.rescue()
    Training.objects.update(not_before=timezone.now())  # the pause before the next attempt is over
    assert training_queue.claim() == lost
    OrmQ.objects.all().delete()
    before = row(lost)
    caplog.clear()
    assert not write(lost)
    assert (row(lost), queued_tasks(training_queue.CLUSTER), caplog.messages) == (before, [], [])


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_the_trainer_of_a_cancelled_training_changes_nothing(write: Callable[[Training], object]) -> None:
    training = make_claimed(make_symbol())
    training_queue.cancel(training, by="ana")
    before = row(training)
    assert not write(training)
    assert (row(training), queued_tasks(training_queue.CLUSTER)) == (before, [])


@pytest.mark.parametrize(
    ("write", "told"),
    [
        ("retry", "attempt 1 failed, it will be retried: The network is down."),
        ("fail", "training failed: SAMPLE1 has 3 bars."),
        ("release", "training requeued: its worker stops"),
        ("postpone", "training postponed until "),
    ],
)
def test_the_log_says_what_becomes_of_a_training(write: str, told: str, caplog: pytest.LogCaptureFixture) -> None:
    training = make_claimed(make_symbol())
    caplog.clear()
    WRITES[write](training)
    (record,) = caplog.records
    assert record.getMessage().startswith(told)
    assert training.log_fields.items() <= vars(record).items()


def test_the_queued_training_of_a_symbol_that_cannot_succeed_fails_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    symbol = make_symbol("SAMPLE1")
    training, other = make_training(symbol), make_training(make_symbol("SAMPLE2"))
    told = ["queued training failed before it started: SAMPLE1 is unknown."]
    for _ in range(2):
        training_queue.fail_waiting(symbol, error="SAMPLE1 is unknown.")
        assert caplog.messages == told
    assert {"state": "failed", "error": "SAMPLE1 is unknown."}.items() <= row(training).items()
    assert row(other)["state"] == "queued"


REQUEUES: dict[str, Callable[[Training], object]] = {
    "retry": WRITES["retry"],
    "release": WRITES["release"],
    "take back": lambda _: training_queue.take_back(claimed_by="cluster", error="The task cluster hung."),
}


@pytest.mark.parametrize("requeue", REQUEUES.values(), ids=REQUEUES)
def test_a_training_keeps_its_claim_if_no_worker_can_be_woken(requeue: Callable[[Training], object]) -> None:
    make_training(make_symbol())
    training = training_queue.claim(by="cluster")
    assert training
    before = row(training)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_q_ormq ADD CONSTRAINT full_disk CHECK (false)")
    with pytest.raises(IntegrityError, match="full_disk"):
        requeue(training)
    assert row(training) == before
