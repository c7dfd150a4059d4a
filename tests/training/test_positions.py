"""Positions in the queue, and the expected waits."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting.models import Training, WorkerProcess
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.training.positions import positions_of
from tests.factories import make_claimed, make_symbol, make_training, make_worker

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _worker() -> None:
    make_worker()


def positions(*trainings: Training | None) -> dict[int, int]:
    return {key: position.number for key, position in positions_of(trainings).items()}


def test_positions_follow_the_order_of_claims() -> None:
    old, new, urgent = (
        make_training(make_symbol(ticker), reason=reason)
        for ticker, reason in [
            ("SAMPLE1", TrainingReason.TOO_OLD),
            ("SAMPLE2", TrainingReason.TOO_OLD),
            ("SAMPLE3", TrainingReason.REQUESTED),
        ]
    )
    assert positions(None, urgent, old, new) == {urgent.pk: 1, old.pk: 2, new.pk: 3}


def test_a_position_counts_all_trainings_before_it() -> None:
    make_training(make_symbol("SAMPLE1"))
    last = make_training(make_symbol("SAMPLE2"))
    assert positions(last) == {last.pk: 2}


def test_a_training_that_is_not_due_yet_is_behind_those_that_are() -> None:
    paused = make_training(make_symbol("SAMPLE1"), priority=50, not_before=timezone.now() + timedelta(minutes=15))
    due = make_training(make_symbol("SAMPLE2"), priority=10)
    assert positions(paused, due) == {due.pk: 1, paused.pk: 2}


def test_a_running_training_has_no_position() -> None:
    training = make_claimed(make_symbol())
    assert positions(training) == {training.pk: 0}


def test_a_running_training_needs_no_look_at_the_queue(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    training = make_claimed(make_symbol())
    with django_assert_num_queries(2):
        positions(training)


def test_a_training_that_is_not_due_yet_waits_until_it_is() -> None:
    lasted(8)
    training = make_training(make_symbol("SAMPLE2"), not_before=timezone.now() + timedelta(minutes=15))
    wait = positions_of([training])[training.pk].expected_wait_s
    assert wait == pytest.approx(15 * 60 + 8, abs=5)


def test_positions_need_no_query_if_nothing_is_active(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    training = make_training(make_symbol(), state=TrainingState.SUCCEEDED)
    with django_assert_num_queries(0):
        assert positions_of([None, training]) == {}


def lasted(seconds: float, *, attempts: int = 1) -> None:
    """A training that ended a moment ago."""
    now = timezone.now()
    start = now - timedelta(seconds=seconds)
    symbol = make_symbol(f"LASTED{Training.objects.count()}")
    make_training(symbol, state=TrainingState.SUCCEEDED, started_at=start, finished_at=now, attempts=attempts)


def expected(training: Training) -> int | None:
    return positions_of([training])[training.pk].expected_wait_s


def test_no_wait_is_expected_before_a_training_has_succeeded() -> None:
    assert expected(make_training(make_symbol())) is None


def test_the_expected_wait_follows_from_the_median_of_undisturbed_trainings() -> None:
    for seconds in (9, 10, 60):
        lasted(seconds)
    lasted(500, attempts=2)
    first, second = make_training(make_symbol("SAMPLE1")), make_training(make_symbol("SAMPLE2"))
    assert (expected(first), expected(second)) == (15, 25)


def test_several_trainers_shorten_the_expected_wait(settings: Settings) -> None:
    settings.TRAIN_WORKERS = 2
    lasted(10)
    waiting = [make_training(make_symbol(f"SAMPLE{number}")) for number in range(1, 4)]
    assert [expected(training) for training in waiting] == [15, 15, 25]


def test_a_running_training_is_expected_to_need_what_is_left_of_its_time() -> None:
    lasted(10)
    training = make_claimed(make_symbol())
    Training.objects.filter(pk=training.pk).update(progress=0.7)
    training.refresh_from_db()
    assert expected(training) == 3


def test_no_wait_is_expected_without_a_worker() -> None:
    lasted(10)
    WorkerProcess.objects.update(seen_at=timezone.now() - timedelta(minutes=2))
    position = positions_of([training := make_training(make_symbol())])[training.pk]
    assert (position.number, position.expected_wait_s) == (1, None)
    assert position.absence.startswith("No worker since ")


def test_a_training_whose_lease_is_renewed_needs_no_worker() -> None:
    lasted(10)
    WorkerProcess.objects.all().delete()
    at_a_terminal, abandoned = make_claimed(make_symbol("SAMPLE1")), make_claimed(make_symbol("SAMPLE2"))
    abandoned.lease_expires_at = timezone.now() - timedelta(seconds=1)
    positions = positions_of([at_a_terminal, abandoned])
    assert (positions[at_a_terminal.pk].expected_wait_s, positions[at_a_terminal.pk].absence) == (10, "")
    assert (positions[abandoned.pk].expected_wait_s, positions[abandoned.pk].absence) == (None, "No worker has run yet.")


def test_who_trains_at_a_terminal_waits_for_no_worker() -> None:
    lasted(10)
    WorkerProcess.objects.all().delete()
    position = positions_of([training := make_training(make_symbol())], by_worker=False)[training.pk]
    assert (position.expected_wait_s, position.absence) == (15, "")
