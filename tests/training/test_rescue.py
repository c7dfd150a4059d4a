"""Lost trainings: taken back once, by whoever notices; a worker is woken if one is due."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from forecasting.models import Training
from forecasting.models.trainings import MAX_ATTEMPTS
from forecasting.training import queue as training_queue
from tests.factories import make_claimed, make_symbol, make_training
from tests.racing import at_once
from tests.task_queue import queued_tasks
from tests.training.test_queue import DRAIN, expire, row

pytestmark = pytest.mark.django_db


def test_a_rescue_requeues_trainings_with_an_expired_lease_and_wakes_a_worker() -> None:
    lost, alive = make_claimed(make_symbol("SAMPLE1")), make_claimed(make_symbol("SAMPLE2"))
    expire(lost)
    assert training_queue.rescue() == 1
    assert {"state": "queued", "attempts": 1, "fence": 1}.items() <= row(lost).items()
    assert row(alive)["state"] == "running"
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]


def test_a_rescue_fails_a_training_whose_attempts_are_used_up() -> None:
    training = make_claimed(make_symbol())
    expire(training)
    Training.objects.update(attempts=MAX_ATTEMPTS)
    training_queue.rescue()
    assert {"state": "failed", "error": "The worker disappeared during the training. (3 attempts)"}.items() <= row(training).items()


def test_a_rescue_wakes_a_worker_if_the_task_for_a_due_training_was_lost() -> None:
    make_training(make_symbol())
    training_queue.rescue()
    training_queue.rescue()
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]


def test_a_rescue_wakes_a_worker_even_if_a_task_of_another_cluster_waits() -> None:
    make_training(make_symbol())
    async_task("forecasting.background.tasks.daily_job", cluster="short")
    training_queue.rescue()
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]


def test_a_rescue_wakes_another_worker_if_the_only_task_is_in_progress() -> None:
    make_training(make_symbol())
    training_queue.wake_worker()
    OrmQ.objects.update(lock=timezone.now() + timedelta(hours=1))
    training_queue.rescue()
    assert len(queued_tasks(training_queue.CLUSTER)) == 2


def test_a_rescue_wakes_no_worker_if_nothing_is_due() -> None:
    make_claimed(make_symbol("SAMPLE1"))
    make_training(make_symbol("SAMPLE2"), not_before=timezone.now() + timedelta(minutes=1))
    training_queue.rescue()
    assert queued_tasks(training_queue.CLUSTER) == []


def test_only_the_running_trainings_of_a_dead_cluster_are_taken_back_at_once() -> None:
    lost, other, ended = (make_training(make_symbol(ticker)) for ticker in ("SAMPLE1", "SAMPLE2", "SAMPLE3"))
    training_queue.claim(by="dead", among=[lost.pk])
    training_queue.claim(by="alive", among=[other.pk])
    training_queue.claim(by="dead", among=[ended.pk])
    training_queue.cancel(ended, by="ana")
    assert training_queue.take_back(claimed_by="dead", error="The task cluster hung.") == 1
    assert {"state": "queued", "attempts": 1, "error": "The task cluster hung.", "claimed_by": ""}.items() <= row(lost).items()
    assert {"state": "running", "claimed_by": "alive"}.items() <= row(other).items()


def test_only_the_trainings_of_a_stopped_worker_are_requeued_uncounted() -> None:
    training, other = (make_training(make_symbol(ticker)) for ticker in ("SAMPLE1", "SAMPLE2"))
    training_queue.claim(by="stopped", among=[training.pk])
    training_queue.claim(by="alive", among=[other.pk])
    training_queue.release_all(claimed_by="stopped")
    assert {"state": "queued", "attempts": 0, "error": ""}.items() <= row(training).items()
    assert {"state": "running", "claimed_by": "alive"}.items() <= row(other).items()


@pytest.mark.django_db(transaction=True)
def test_a_rescue_does_not_wait_for_a_trainer_that_writes() -> None:
    training = make_claimed(make_symbol())
    expire(training)
    with transaction.atomic():
        training_queue.renew(training)
        assert at_once([training_queue.rescue]) == [0]


@pytest.mark.django_db(transaction=True)
def test_concurrent_rescues_requeue_a_training_once() -> None:
    training = make_claimed(make_symbol())
    expire(training)
    assert sum(at_once([training_queue.rescue] * 4)) == 1
    assert {"state": "queued", "attempts": 1}.items() <= row(training).items()
