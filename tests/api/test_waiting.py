"""GET /models/trainings/{id}?wait=: answers once the training has ended."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from forecasting.models import Training
from forecasting.models.trainings import TrainingState
from forecasting.runtime.processes import wait_for
from forecasting.training import queue as training_queue
from tests.api.conftest import checked
from tests.factories import make_symbol, make_training, make_version
from tests.racing import begin

PATH = "/models/trainings/{id}"


def cancelled(training: Training) -> None:
    training_queue.cancel(training, by="ana")


def succeeded(training: Training) -> None:
    with transaction.atomic():
        make_version(training.symbol, training=training, number=7)
        Training.objects.filter(pk=training.pk).update(state=TrainingState.SUCCEEDED, finished_at=timezone.now())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("end", "state", "version"), [(cancelled, "cancelled", None), (succeeded, "succeeded", 7)])
def test_it_answers_when_the_training_ends_and_only_one_request_waits(
    end: Callable[[Training], None], state: str, version: int | None, settings: Settings
) -> None:
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 1_000_000  # while one of them insists
    training = make_training(make_symbol())
    ask = partial(APIClient().get, PATH.format(id=training.pk))

    def insist() -> Any:
        while "Retry-After" in (answer := ask({"wait": 30})).headers:
            pass  # the other thread's request waits just now
        return answer

    with ThreadPoolExecutor(1) as threads:
        waiting = begin(threads, insist)
        assert wait_for(lambda: "Retry-After" in ask({"wait": 1}).headers, seconds=10)
        assert not waiting.done()
        end(training)
        row = checked(waiting.result(), PATH, status=200, method="get")
    assert (row["state"], row["version"]) == (state, version)


@pytest.mark.django_db
def test_it_answers_after_the_time_at_the_latest(client: APIClient) -> None:
    training = make_training(make_symbol())
    began = time.monotonic()
    answer = client.get(PATH.format(id=training.pk), {"wait": 1})
    assert 1 <= time.monotonic() - began < 10
    assert (checked(answer, PATH, status=200, method="get")["state"], "Retry-After" in answer.headers) == (
        TrainingState.QUEUED,
        False,
    )


@pytest.mark.django_db
@pytest.mark.parametrize("wait", ["31", "-1", "long", "1.5"])
def test_a_wait_that_is_not_allowed_is_refused(client: APIClient, wait: str) -> None:
    training: Training = make_training(make_symbol())
    answer = client.get(PATH.format(id=training.pk), {"wait": wait})
    assert [*checked(answer, PATH, status=400, method="get")["details"]] == ["wait"]
