"""POST /models/check"""

from datetime import UTC, datetime, timedelta

import pytest
from django_q.models import OrmQ
from pytest_django import Settings

from forecasting.api.trainings import training_json
from forecasting.models import Training
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.training.positions import positions_of
from tests.api.conftest import Count, Send
from tests.factories import make_symbol, make_training, make_version, make_worker

pytestmark = pytest.mark.django_db

AVAILABLE = "Model and scaler are available."
STARTED = "Model for this stock code has not been trained yet. Starting training, try again later."
IN_PROGRESS = "Training already in progress. The model will be available soon."


def test_a_symbol_with_a_model_is_available(post: Send) -> None:
    version = make_version(make_symbol("BBAS3.SA"), number=3)
    named = {"version": 3, "version_id": version.pk}
    assert post("check", {"symbols": ["BBAS3.SA"]}) == [
        {"symbol": "BBAS3.SA", "model_exists": True, "message": AVAILABLE, **named, "training": None}
    ]


def test_a_symbol_without_a_model_starts_its_training(post: Send) -> None:
    make_worker()
    make_symbol("BBAS3.SA")
    (answer,) = post("check", {"symbols": ["BBAS3.SA"]})
    training = Training.objects.get(symbol__ticker="BBAS3.SA")
    assert answer == {
        "symbol": "BBAS3.SA",
        "model_exists": False,
        "message": STARTED,
        "version": None,
        "version_id": None,
        "training": {
            "id": training.pk,
            "state": "queued",
            "reason": "never_trained",
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


def test_starting_a_training_wakes_a_worker(post: Send) -> None:
    post("check", {"symbols": ["SAMPLE1"]})
    assert [(each.key, each.func()) for each in OrmQ.objects.all()] == [
        ("training", "forecasting.background.tasks.drain_training_queue")
    ]


def test_an_available_model_starts_nothing(post: Send) -> None:
    make_version(make_symbol())
    post("check", {"symbols": ["SAMPLE1"]})
    assert not Training.objects.exists()
    assert not OrmQ.objects.exists()


def test_an_available_model_shows_its_retraining(post: Send) -> None:
    symbol = make_symbol()
    make_version(symbol)
    training = make_training(symbol, state=TrainingState.RUNNING, stage="fitting", progress=0.12345)
    (answer,) = post("check", {"symbols": ["SAMPLE1"]})
    assert answer["message"] == AVAILABLE
    assert answer["training"] | {"created_at": ""} == {
        "id": training.pk,
        "state": "running",
        "reason": "requested",
        "position": 0,
        "expected_wait": None,
        "stage": "fitting",
        "epoch": None,
        "epochs": None,
        "progress": 0.123,
        "error": "",
        "created_at": "",
    }


def test_a_second_check_starts_nothing(post: Send) -> None:
    (first,) = post("check", {"symbols": ["SAMPLE1"]})
    (second,) = post("check", {"symbols": ["SAMPLE1"]})
    assert second == first | {"message": IN_PROGRESS}
    assert Training.objects.count() == 1
    assert OrmQ.objects.count() == 1


def test_a_check_while_it_is_trained_starts_nothing(post: Send) -> None:
    make_training(make_symbol(), state=TrainingState.RUNNING)
    (answer,) = post("check", {"symbols": ["SAMPLE1"]})
    assert (answer["model_exists"], answer["message"], answer["training"]["state"]) == (False, IN_PROGRESS, "running")
    assert Training.objects.count() == 1


def test_a_waiting_training_shows_its_position_in_the_queue(post: Send) -> None:
    make_training(make_symbol("SAMPLE2"), reason=TrainingReason.TOO_OLD)
    make_training(make_symbol("SAMPLE3"), reason=TrainingReason.REQUESTED)
    (answer,) = post("check", {"symbols": ["SAMPLE1"]})
    assert answer["training"]["position"] == 2


def test_a_training_that_waits_for_a_worker_says_so_instead_of_an_expected_wait(post: Send) -> None:
    make_training(make_symbol("LASTED"), state=TrainingState.SUCCEEDED)
    make_worker(seen_s=1000)
    training = make_training(make_symbol())
    (answer,) = post("check", {"symbols": ["SAMPLE1"]})
    shown = {key: answer["training"][key] for key in ("id", "position", "expected_wait")}
    assert shown == {"id": training.pk, "position": 1, "expected_wait": None}
    assert answer["training"]["error"].startswith("No worker since ")


def test_a_training_that_ends_before_its_position_is_looked_up_has_none() -> None:
    ended = make_training(make_symbol(), state=TrainingState.SUCCEEDED)
    assert {"position": 0, "expected_wait": None}.items() <= training_json(ended, positions_of([ended])).items()


def test_a_training_that_failed_recently_is_not_started_again(post: Send) -> None:
    make_training(make_symbol(), state=TrainingState.FAILED, error="SAMPLE1 has 10 bars; at least 490 are needed.")
    (answer,) = post("check", {"symbols": ["SAMPLE1"]})
    assert answer == {
        "symbol": "SAMPLE1",
        "model_exists": False,
        "message": "Training not started: SAMPLE1 has 10 bars; at least 490 are needed.",
        "version": None,
        "version_id": None,
        "training": None,
    }
    assert Training.objects.count() == 1


def test_a_training_that_failed_an_hour_ago_is_started_again(post: Send) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=61)
    make_training(make_symbol(), state=TrainingState.FAILED, created_at=long_ago, finished_at=long_ago)
    (answer,) = post("check", {"symbols": ["SAMPLE1"]})
    assert answer["message"] == STARTED


def test_a_cancelled_training_is_not_started_again_at_once(post: Send) -> None:
    make_training(make_symbol(), state=TrainingState.CANCELLED)
    (answer,) = post("check", {"symbols": ["SAMPLE1"]})
    assert answer["message"] == "Training not started: the last one was cancelled."


def test_a_full_queue_refuses_further_trainings(post: Send, settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    first, second = post("check", {"symbols": ["SAMPLE1", "SAMPLE2"]})
    assert first["message"] == STARTED
    assert second["message"] == "Training not started: the queue is full (1 waiting); try again later."
    assert (second["model_exists"], second["training"]) == (False, None)
    assert Training.objects.count() == 1


def test_each_symbol_gets_its_own_answer_in_the_order_of_the_request(post: Send) -> None:
    make_version(make_symbol("SAMPLE2"))
    make_training(make_symbol("SAMPLE9"))
    answers = post("check", {"symbols": ["SAMPLE9", "SAMPLE1", "SAMPLE2"]})
    assert [(each["symbol"], each["message"]) for each in answers] == [
        ("SAMPLE9", IN_PROGRESS),
        ("SAMPLE1", STARTED),
        ("SAMPLE2", AVAILABLE),
    ]


@pytest.mark.parametrize("state", ["retired", "rejected"])
def test_a_version_that_does_not_serve_does_not_count(post: Send, state: str) -> None:
    make_version(make_symbol(), state=state)
    (answer,) = post("check", {"symbols": ["SAMPLE1"]})
    assert (answer["model_exists"], answer["version"]) == (False, None)


def test_the_number_of_queries_does_not_depend_on_the_number_of_available_models(post: Send, count_queries: Count) -> None:
    tickers = [f"SAMPLE{number}" for number in range(1, 21)]
    for ticker in tickers:
        make_version(make_symbol(ticker))
    one = count_queries(lambda: post("check", {"symbols": tickers[:1]}))
    assert count_queries(lambda: post("check", {"symbols": tickers})) == one


def test_the_number_of_queries_does_not_depend_on_the_number_of_started_trainings(post: Send, count_queries: Count) -> None:
    tickers = [make_symbol(f"SAMPLE{number}").ticker for number in range(1, 22)]
    one = count_queries(lambda: post("check", {"symbols": tickers[:1]}))
    assert count_queries(lambda: post("check", {"symbols": tickers[1:]})) == one
    assert Training.objects.count() == 21


def test_asking_for_a_symbol_with_a_model_follows_it_again(post: Send) -> None:
    symbol = make_version(make_symbol("SAMPLE1", followed=False)).symbol
    assert post("check", {"symbols": ["SAMPLE1"]})[0]["model_exists"]
    assert symbol
    symbol.refresh_from_db()
    assert symbol.followed
