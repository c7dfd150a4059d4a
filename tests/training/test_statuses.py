"""The status of a symbol's model: its version, its training, or why none was started."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting.models import Symbol, Training
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.versions import VersionState
from forecasting.training import queue as training_queue
from forecasting.training.requests import ModelStatus
from tests.factories import make_claimed, make_symbol, make_training, make_version
from tests.racing import at_once, begin_behind_us, slow
from tests.task_queue import queued_tasks
from tests.training.writes import asked, statuses

pytestmark = pytest.mark.django_db


def test_a_symbol_without_a_model_gets_a_training_that_this_call_started() -> None:
    (status,) = statuses("SAMPLE1")
    assert status == ModelStatus(Symbol.objects.get(), version=None, training=Training.objects.get(), started=True)
    assert status.training
    assert status.training.reason == TrainingReason.NEVER_TRAINED


def test_a_second_call_starts_nothing() -> None:
    statuses("SAMPLE1")
    (status,) = statuses("SAMPLE1")
    assert (status.training, status.started) == (Training.objects.get(), False)
    assert len(queued_tasks(training_queue.CLUSTER)) == 1


def test_a_symbol_with_a_model_needs_no_training() -> None:
    version = make_version(make_symbol())
    (status,) = statuses("SAMPLE1")
    assert (status.version, status.training) == (version, None)


@pytest.mark.parametrize("state", [VersionState.RETIRED, VersionState.REJECTED])
def test_a_symbol_whose_versions_do_not_serve_gets_a_training(state: VersionState) -> None:
    make_version(make_symbol(), state=state)
    (status,) = statuses("SAMPLE1")
    assert (status.version, status.started) == (None, True)


def test_a_model_that_is_trained_again_shows_its_training() -> None:
    version = make_version(make_symbol())
    training = asked("SAMPLE1")
    (status,) = statuses("SAMPLE1")
    assert (status.version, status.training, status.started) == (version, training, False)


def test_statuses_come_in_the_order_of_the_request() -> None:
    tickers = ["SAMPLE3", "SAMPLE1", "SAMPLE2"]
    make_version(make_symbol("SAMPLE1"))
    make_training(make_symbol("SAMPLE2"))
    assert [status.symbol.ticker for status in statuses(*tickers)] == tickers


@pytest.mark.parametrize(("minutes", "started"), [(59, False), (60, True)])
def test_a_failed_training_is_not_restarted_automatically_for_an_hour(minutes: int, started: bool) -> None:
    now = timezone.now()
    failed_at = now - timedelta(minutes=minutes)
    make_training(make_symbol(), state=TrainingState.FAILED, error="It has 3 bars.", finished_at=failed_at)
    (status,) = statuses("SAMPLE1", now=now)
    assert (status.started, status.refusal) == (started, "" if started else "It has 3 bars")


def test_only_the_newest_training_of_a_symbol_counts() -> None:
    now = timezone.now()
    symbol = make_symbol()
    make_training(symbol, state=TrainingState.SUCCEEDED, created_at=now - timedelta(minutes=3))
    make_training(symbol, state=TrainingState.FAILED, error="It has 3 bars.", created_at=now - timedelta(minutes=2))
    make_training(symbol, state=TrainingState.SUCCEEDED, created_at=now - timedelta(minutes=1))
    (status,) = statuses("SAMPLE1", now=now)
    assert (status.started, status.refusal) == (True, "")


def test_a_training_that_runs_after_a_failure_is_shown() -> None:
    now = timezone.now()
    symbol = make_symbol()
    make_training(symbol, state=TrainingState.FAILED, created_at=now - timedelta(minutes=2))
    running = make_claimed(symbol)
    (status,) = statuses("SAMPLE1", now=now)
    assert (status.training, status.started, status.refusal) == (running, False, "")


def test_a_nearly_full_queue_starts_as_many_as_fit_and_refuses_the_others_with_the_reason(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 2
    found = statuses("SAMPLE1", "SAMPLE2", "SAMPLE3")
    assert [status.started for status in found] == [True, True, False]
    assert found[2].refusal == "the queue is full (2 waiting); try again later"


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_do_not_exceed_the_limit_together(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 3
    tickers = [[f"SAMPLE{caller}", f"SAMPLE{caller + 10}"] for caller in range(10, 18)]
    with slow("INSERT", Training):
        answers = at_once([partial(statuses, *each) for each in tickers])
    assert sum(status.started for answer in answers for status in answer) == Training.objects.count() == 3


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(known: bool) -> None:
    counts = []
    for tickers in (["SAMPLE1"], [f"SAMPLE{number}" for number in range(2, 12)]):
        for ticker in tickers if known else []:
            make_version(make_symbol(ticker))
        with CaptureQueriesContext(connection) as queries:
            statuses(*tickers)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_status_of_symbols_with_models_takes_three_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    make_version(make_symbol())
    with django_assert_num_queries(3):
        statuses("SAMPLE1")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["forecasting_training", "forecasting_modelversion"])
def test_a_training_that_publishes_meanwhile_is_not_started_again(table: str) -> None:
    training = make_claimed(make_symbol())
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            check = begin_behind_us(threads, lambda: statuses("SAMPLE1"))
            make_version(training.symbol)
            Training.objects.update(state=TrainingState.SUCCEEDED, finished_at=timezone.now())
        check.result()
    assert Training.objects.count() == 1
