"""Requests for trainings: one per symbol, however many ask; row and task commit together; the queue has a limit."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting.models import Symbol, Training
from forecasting.models.trainings import PRIORITIES, TrainingReason, TrainingState
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from forecasting.training.requests import QueueFullError
from tests.factories import make_claimed, make_symbol, make_training
from tests.racing import at_once, begin_behind_us, slow
from tests.task_queue import queued_tasks
from tests.training.writes import asked

pytestmark = pytest.mark.django_db

DRAIN = "forecasting.background.tasks.drain_training_queue"


def request(*symbols: Symbol, reason: TrainingReason = TrainingReason.NEVER_TRAINED) -> dict[int, Training]:
    return training_requests.request(symbols, reason=reason)


def test_a_request_queues_one_training_and_wakes_a_worker() -> None:
    symbol = make_symbol()
    training = request(symbol)[symbol.pk]
    assert (training.state, training.priority) == (TrainingState.QUEUED, PRIORITIES[TrainingReason.NEVER_TRAINED])
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]


def test_a_second_request_gets_the_same_training() -> None:
    symbol = make_symbol()
    assert request(symbol) == request(symbol)
    assert Training.objects.count() == 1


def test_a_more_urgent_request_raises_the_priority_of_its_symbol_only() -> None:
    symbol, other = make_symbol("SAMPLE1"), make_symbol("SAMPLE2")
    request(symbol, other, reason=TrainingReason.TOO_OLD)
    ((key, training),) = request(symbol, reason=TrainingReason.REQUESTED).items()
    assert key == symbol.pk
    assert (training.priority, training.reason) == (PRIORITIES[TrainingReason.REQUESTED], TrainingReason.REQUESTED)
    assert Training.objects.get(symbol=other).reason == TrainingReason.TOO_OLD


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


def test_asking_again_for_an_active_training_enqueues_no_further_task() -> None:
    symbol = make_symbol()
    for _ in range(3):
        request(symbol)
    assert queued_tasks(training_queue.CLUSTER) == [DRAIN]


def test_a_caller_who_asks_again_for_an_active_training_locks_and_changes_nothing(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    training = make_training(symbol := make_symbol())
    with django_assert_num_queries(1) as asked:
        assert training_requests.request_one(symbol, by="account ana") == training
    assert "FOR UPDATE" not in asked.captured_queries[0]["sql"]


def test_a_request_for_the_base_queues_one_training_and_wakes_a_worker() -> None:
    first = training_requests.request_base(reason=TrainingReason.TOO_OLD)
    make_training(make_symbol())
    second = training_requests.request_base(reason=TrainingReason.TOO_OLD)
    assert (first, first.symbol, first.priority) == (second, None, PRIORITIES[TrainingReason.TOO_OLD])
    assert set(queued_tasks(training_queue.CLUSTER)) == {DRAIN}


def test_a_request_for_the_base_after_the_end_of_its_training_makes_a_new_one() -> None:
    ended = make_training(None, state=TrainingState.SUCCEEDED, reason=TrainingReason.TOO_OLD)
    assert training_requests.request_base(reason=TrainingReason.TOO_OLD) != ended


REQUESTS = {
    "symbol": lambda: request(make_symbol()),
    "base": lambda: training_requests.request_base(reason=TrainingReason.TOO_OLD),
}


@pytest.mark.parametrize("ask", REQUESTS.values(), ids=REQUESTS)
def test_no_training_is_queued_if_no_worker_can_be_woken(ask: Callable[[], object]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_q_ormq ADD CONSTRAINT full_disk CHECK (false)")
    with pytest.raises(IntegrityError, match="full_disk"):
        ask()
    assert not Training.objects.exists()


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
def test_a_requested_training_cannot_end_before_the_request_is_committed() -> None:
    training = make_claimed(make_symbol())
    assert training.symbol
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            assert request(training.symbol) == {training.symbol.pk: training}
            cancelled = begin_behind_us(threads, lambda: training_queue.cancel(training, by="ana"))
        assert cancelled.result()


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


def test_an_automatic_request_skips_symbols_whose_last_training_has_just_failed() -> None:
    now = timezone.now()
    failed, recovered, new = (make_symbol(f"SAMPLE{number}") for number in range(3))
    make_training(failed, state=TrainingState.FAILED)
    make_training(recovered, state=TrainingState.FAILED, created_at=now - timedelta(minutes=2))
    make_training(recovered, state=TrainingState.SUCCEEDED, created_at=now - timedelta(minutes=1))
    requested = training_requests.request_unless_cooling_down([failed, recovered, new], reason=TrainingReason.TOO_OLD, now=now)
    assert {training.symbol for training in requested.values()} == {recovered, new}


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


def test_retrainings_that_nobody_waits_for_do_not_fill_the_queue(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    make_training(make_symbol("SAMPLE1"), reason=TrainingReason.FILES_DAMAGED)
    assert asked("SAMPLE2")
    with pytest.raises(QueueFullError):
        asked("SAMPLE3")


def test_symbols_that_wait_for_their_first_training_fill_the_queue(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    make_training(make_symbol("SAMPLE1"), reason=TrainingReason.NEVER_TRAINED)
    with pytest.raises(QueueFullError):
        asked("SAMPLE2")


def test_a_running_training_leaves_its_place_in_the_queue_to_another(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    make_claimed(make_symbol("SAMPLE1"))
    assert asked("SAMPLE2")


def test_of_many_requests_active_ones_become_urgent_and_the_others_start_as_long_as_there_is_room(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 2
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(3)]
    old = make_training(symbols[1], reason=TrainingReason.TOO_OLD)
    make_training(symbols[0], state=TrainingState.SUCCEEDED)
    make_claimed(make_symbol("SAMPLE9"))
    requested = training_requests.request_many(symbols, by="account ana")
    old.refresh_from_db()
    assert (requested.started, requested.active, requested.refused) == (1, 1, 1)
    assert requested.trainings == {symbols[0].pk: Training.objects.active().get(symbol=symbols[0]), symbols[1].pk: old}
    assert old.reason == TrainingReason.REQUESTED


def test_a_person_may_ask_again_right_after_a_failure() -> None:
    failed = make_training(make_symbol(), state=TrainingState.FAILED)
    assert asked("SAMPLE1") != failed
