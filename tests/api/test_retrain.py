"""POST /models/retrain"""

import pytest
from django_q.models import OrmQ
from pytest_django import Settings
from rest_framework.test import APIClient

from forecasting.models import Training
from forecasting.models.trainings import PRIORITIES, TrainingReason, TrainingState
from tests.api.conftest import Send
from tests.factories import make_symbol, make_training, make_version, make_worker

pytestmark = pytest.mark.django_db

ASKED = PRIORITIES[TrainingReason.ASKED_ANONYMOUSLY]


def test_a_retraining_is_initiated(post: Send) -> None:
    make_worker()
    make_version(make_symbol("BBAS3.SA"))
    answer = post("retrain", {"symbol": " bbas3.sa"}, status=202)
    training = Training.objects.get(symbol__ticker="BBAS3.SA")
    assert answer == {
        "message": "Re-training initiated for model: BBAS3.SA",
        "training": {
            "id": training.pk,
            "state": "queued",
            "reason": "asked_anonymously",
            "position": 1,
            "expected_wait": None,
            "stage": "",
            "epoch": None,
            "epochs": None,
            "progress": 0.0,
            "error": "",
            "created_at": training.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }


def test_it_wakes_a_worker(post: Send) -> None:
    post("retrain", {"symbol": "SAMPLE1"}, status=202)
    assert [each.key for each in OrmQ.objects.all()] == ["training"]


def test_a_new_symbol_can_be_trained(post: Send) -> None:
    post("retrain", {"symbol": "SAMPLE1"}, status=202)
    assert Training.objects.get().subject == "SAMPLE1"


def test_a_waiting_training_is_returned_with_raised_priority(post: Send) -> None:
    waiting = make_training(make_symbol(), reason=TrainingReason.TOO_OLD)
    make_training(make_symbol("SAMPLE2"), reason=TrainingReason.PERFORMANCE_LOST)
    answer = post("retrain", {"symbol": "SAMPLE1"}, status=202)
    assert answer["message"] == "Re-training initiated for model: SAMPLE1"
    assert {"id": waiting.pk, "reason": "asked_anonymously", "position": 1}.items() <= answer["training"].items()
    waiting.refresh_from_db()
    assert (waiting.priority, waiting.reason) == (ASKED, TrainingReason.ASKED_ANONYMOUSLY)
    assert Training.objects.filter(symbol__ticker="SAMPLE1").count() == 1


def test_a_running_training_is_returned(post: Send) -> None:
    running = make_training(make_symbol(), state=TrainingState.RUNNING, stage="fitting")
    answer = post("retrain", {"symbol": "SAMPLE1"}, status=202)
    assert {"id": running.pk, "state": "running", "position": 0, "stage": "fitting"}.items() <= answer["training"].items()
    assert Training.objects.count() == 1


def test_a_first_training_that_failed_just_now_may_be_asked_for_again(post: Send) -> None:
    failed = make_training(make_symbol(), state=TrainingState.FAILED)
    assert post("retrain", {"symbol": "SAMPLE1"}, status=202)["training"]["id"] != failed.pk


def test_a_full_queue_refuses_and_says_when_to_try_again(post: Send, client: APIClient, settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    make_training(make_symbol("SAMPLE2"))
    answer = post("retrain", {"symbol": "SAMPLE1"}, status=503)
    assert answer == {"error": "Training not started: the queue is full (1 waiting); try again later.", "details": {}}
    assert client.post("/models/retrain", {"symbol": "SAMPLE1"}, format="json").headers["Retry-After"] == "10"
    assert Training.objects.count() == 1


def test_a_full_queue_does_not_refuse_a_waiting_training(post: Send, settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    waiting = make_training(make_symbol(), reason=TrainingReason.TOO_OLD)
    assert post("retrain", {"symbol": "SAMPLE1"}, status=202)["training"]["id"] == waiting.pk
