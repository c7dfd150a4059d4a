"""Requests for trainings: one per symbol, however many ask; row and task commit together; the queue has a limit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting.models import Symbol, Training
from forecasting.models.trainings import PRIORITIES, TrainingReason, TrainingState
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from forecasting.training.requests import ModelStatus, QueueFullError
from tests.factories import make_claimed, make_symbol, make_training, make_version
from tests.racing import at_once, begin_behind_us, slow
from tests.task_queue import queued_tasks

pytestmark = pytest.mark.django_db

DRAIN = "forecasting.background.tasks.drain_training_queue"


def request(*symbols: Symbol, reason: TrainingReason = TrainingReason.NEVER_TRAINED) -> dict[int, Training]:
    return training_requests.request(symbols, reason=reason)


def asked(ticker: str) -> Training:
    """A training that an account has asked for."""
    (symbol,) = Symbol.objects.all().ensure([ticker])
    return training_requests.request_one(symbol, by="account ana")


def test_a_request_queues_one_training_and_wakes_a_worker() -> None:
    symbol = make_symbol()
    training = request(symbol)[symbol.pk]
    assert (training.state, training.priority) == (TrainingState.QUEUED, PRIORITIES[TrainingReason.NEVER_TRAINED])
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]


def test_a_second_request_gets_the_same_training() -> None:
    symbol = make_symbol()
    assert request(symbol) == request(symbol)
    assert Training.objects.count() == 1


def test_a_more_urgent_request_raises_the_priority() -> None:
    symbol = make_symbol()
    request(symbol, reason=TrainingReason.TOO_OLD)
    training = request(symbol, reason=TrainingReason.REQUESTED)[symbol.pk]
    assert (training.priority, training.reason) == (PRIORITIES[TrainingReason.REQUESTED], TrainingReason.REQUESTED)


def test_a_less_urgent_request_leaves_the_priority() -> None:
    symbol = make_symbol()
    request(symbol, reason=TrainingReason.REQUESTED)
    assert request(symbol, reason=TrainingReason.TOO_OLD)[symbol.pk].reason == TrainingReason.REQUESTED


def test_a_request_for_a_running_training_gets_it_unchanged() -> None:
    training = make_claimed(make_symbol(), reason=TrainingReason.TOO_OLD)
    assert training.symbol
    before = Training.objects.values().get()
    assert request(training.symbol, reason=TrainingReason.REQUESTED) == {training.symbol.pk: training}
    assert Training.objects.values().get() == before


def test_a_request_after_the_end_of_a_training_makes_a_new_one() -> None:
    symbol = make_symbol()
    ended = make_training(symbol, state=TrainingState.SUCCEEDED)
    assert request(symbol)[symbol.pk] != ended


def test_a_request_for_nothing_does_nothing(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        assert request() == {}


def test_it_wakes_one_worker_however_many_symbols() -> None:
    request(*(make_symbol(f"SAMPLE{number}") for number in range(3)))
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]


@pytest.mark.django_db(transaction=True)
def test_the_task_is_rolled_back_with_the_row() -> None:
    symbol = make_symbol()
    with transaction.atomic():
        request(symbol)
        transaction.set_rollback(True)
    assert (Training.objects.count(), queued_tasks(training_queue.CLUSTER)) == (0, [])


@pytest.mark.django_db(transaction=True)
def test_the_task_is_not_visible_before_the_row() -> None:
    symbol = make_symbol()
    with transaction.atomic():
        request(symbol)
        assert at_once([lambda: (Training.objects.count(), queued_tasks(training_queue.CLUSTER))]) == [(0, [])]
    assert at_once([lambda: (Training.objects.count(), queued_tasks(training_queue.CLUSTER))]) == [(1, [DRAIN])]


@pytest.mark.django_db(transaction=True)
def test_a_request_waits_for_a_concurrent_one_and_gets_its_training() -> None:
    symbol = make_symbol()
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            ours = request(symbol)
            theirs = begin_behind_us(threads, lambda: request(symbol))
        assert theirs.result() == ours


@pytest.mark.django_db(transaction=True)
def test_a_request_creates_its_own_training_if_a_concurrent_one_fails() -> None:
    symbol = make_symbol()
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            request(symbol)
            theirs = begin_behind_us(threads, lambda: request(symbol))
            transaction.set_rollback(True)
        assert theirs.result()[symbol.pk] == Training.objects.get()


@pytest.mark.django_db(transaction=True)
def test_thirty_two_callers_in_any_order_get_one_training_for_each_symbol() -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(5)]
    orders = [symbols[caller % 5 :] + symbols[: caller % 5] for caller in range(32)]
    with slow("INSERT", Training):
        answers = at_once([partial(request, *order) for order in orders])
    assert all(answer == answers[0] for answer in answers)
    assert sorted(Training.objects.values_list("symbol__ticker", flat=True)) == [symbol.ticker for symbol in symbols]


@pytest.mark.django_db(transaction=True)
def test_of_concurrent_requests_the_most_urgent_reason_remains() -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(5)]
    request(*symbols, reason=TrainingReason.TOO_OLD)
    with slow("UPDATE", Training):
        at_once([partial(request, *symbols, reason=reason) for reason in TrainingReason])
    assert set(Training.objects.values_list("reason", flat=True)) == {TrainingReason.REQUESTED}


# A person's request


def test_a_person_gets_the_active_training_even_if_the_queue_is_full(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    training = asked("SAMPLE1")
    assert asked("SAMPLE1") == training


def test_a_full_queue_refuses_a_person_with_the_limit(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    asked("SAMPLE1")
    with pytest.raises(QueueFullError, match=r"the queue is full \(1 waiting\); try again later"):
        asked("SAMPLE2")


def test_a_person_may_ask_again_right_after_a_failure() -> None:
    failed = make_training(make_symbol(), state=TrainingState.FAILED)
    assert asked("SAMPLE1") != failed


# Status of a symbol's model


def test_a_symbol_without_a_model_gets_a_training_that_this_call_started() -> None:
    (status,) = training_requests.ensure_trained([make_symbol()], now=timezone.now())
    assert status == ModelStatus(Symbol.objects.get(), version=None, training=Training.objects.get(), started=True)


def test_a_second_call_starts_nothing() -> None:
    training_requests.ensure_trained([symbol := make_symbol()], now=timezone.now())
    (status,) = training_requests.ensure_trained([symbol], now=timezone.now())
    assert (status.training, status.started) == (Training.objects.get(), False)
    assert len(queued_tasks(training_queue.CLUSTER)) == 1


def test_a_symbol_with_a_model_needs_no_training() -> None:
    version = make_version(symbol := make_symbol())
    (status,) = training_requests.ensure_trained([symbol], now=timezone.now())
    assert (status.version, status.training) == (version, None)


def test_a_model_that_is_trained_again_shows_its_training() -> None:
    version = make_version(symbol := make_symbol())
    training = asked("SAMPLE1")
    (status,) = training_requests.ensure_trained([symbol], now=timezone.now())
    assert (status.version, status.training, status.started) == (version, training, False)


def test_statuses_come_in_the_order_of_the_request() -> None:
    symbols = [make_symbol(ticker) for ticker in ("SAMPLE3", "SAMPLE1", "SAMPLE2")]
    make_version(symbols[1])
    make_training(symbols[2])
    assert [status.symbol for status in training_requests.ensure_trained(symbols, now=timezone.now())] == symbols


@pytest.mark.parametrize(("minutes", "started"), [(59, False), (61, True)])
def test_a_failed_training_is_not_restarted_automatically_for_an_hour(minutes: int, started: bool) -> None:
    now = timezone.now()
    failed_at = now - timedelta(minutes=minutes)
    make_training(symbol := make_symbol(), state=TrainingState.FAILED, error="It has 3 bars.", finished_at=failed_at)
    (status,) = training_requests.ensure_trained([symbol], now=now)
    assert (status.started, status.refusal) == (started, "" if started else "It has 3 bars")


def test_a_nearly_full_queue_starts_as_many_as_fit_and_refuses_the_others_with_the_reason(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 2
    statuses = training_requests.ensure_trained([make_symbol(f"SAMPLE{number}") for number in range(3)], now=timezone.now())
    assert [status.started for status in statuses] == [True, True, False]
    assert statuses[2].refusal == "the queue is full (2 waiting); try again later"


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_do_not_exceed_the_limit_together(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 3
    pairs = [[make_symbol(f"SAMPLE{caller}"), make_symbol(f"SAMPLE{caller + 10}")] for caller in range(10, 18)]
    with slow("INSERT", Training):
        answers = at_once([partial(training_requests.ensure_trained, each, now=timezone.now()) for each in pairs])
    assert sum(status.started for answer in answers for status in answer) == Training.objects.count() == 3


@pytest.mark.parametrize("trained", [True, False], ids=["trained", "new"])
def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(trained: bool) -> None:
    counts = []
    for tickers in (["SAMPLE1"], [f"SAMPLE{number}" for number in range(2, 12)]):
        symbols = [make_symbol(ticker) for ticker in tickers]
        for symbol in symbols if trained else []:
            make_version(symbol)
        with CaptureQueriesContext(connection) as queries:
            training_requests.ensure_trained(symbols, now=timezone.now())
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["forecasting_training", "forecasting_modelversion"])
def test_a_training_that_publishes_meanwhile_is_not_started_again(table: str) -> None:
    training = make_claimed(symbol := make_symbol())
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            check = begin_behind_us(threads, lambda: training_requests.ensure_trained([symbol], now=timezone.now()))
            make_version(training.symbol)
            Training.objects.update(state=TrainingState.SUCCEEDED, finished_at=timezone.now())
        check.result()
    assert Training.objects.count() == 1


def test_a_training_says_who_asked_for_it() -> None:
    assert asked("SAMPLE1").requested_by == "account ana"


def test_who_raises_the_priority_has_asked_for_it() -> None:
    training = make_training(make_symbol(), reason=TrainingReason.TOO_OLD)
    asked("SAMPLE1")
    training.refresh_from_db()
    assert training.requested_by == "account ana"


def test_who_raises_nothing_has_not_asked_for_it() -> None:
    asked("SAMPLE1")
    request(Symbol.objects.get(), reason=TrainingReason.TOO_OLD)
    assert Training.objects.get().requested_by == "account ana"
