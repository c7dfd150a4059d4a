"""Retrainings at a caller's request: their order, the cool-down, and what never-trained symbols must not feel."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from forecasting.callers.budgets import Budget, OverBudgetError, spend
from forecasting.callers.caller import Caller, Kind
from forecasting.callers.retraining import retrain
from forecasting.models import Spending, Symbol, Training
from forecasting.models.trainings import PRIORITIES, TrainingReason, TrainingState
from forecasting.training.requests import QueueFullError
from tests.factories import make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

ANA = Caller(Kind.ADDRESS, id="203.0.113.9", name="203.0.113.9")
READER = Caller(Kind.KEY, id="abcdefgh", name="reader")
TRAINER = Caller(Kind.KEY, id="ijklmnop", name="trainer", urgent=True)
STAFF = Caller(Kind.ACCOUNT, id="1", name="bob", urgent=True)
COOL, URGENT = [ANA, READER], [TRAINER, STAFF]


def asked(ticker: str = "SAMPLE1", *, by: Caller = ANA) -> Training:
    (symbol,) = Symbol.objects.all().ensure([ticker])
    return retrain(symbol, by=by, now=timezone.now())


def trained(ticker: str = "SAMPLE1", *, times: int, ago: timedelta = timedelta(0), **values: object) -> Symbol:
    """A symbol with a model; its last training ended so long ago."""
    symbol = make_symbol(ticker)
    make_version(symbol)
    for earlier in reversed(range(times)):
        ended = timezone.now() - ago - timedelta(days=earlier)
        state = {"state": TrainingState.SUCCEEDED} | values
        make_training(symbol, created_at=ended - timedelta(minutes=1), finished_at=ended, **state)
    return symbol


@pytest.mark.parametrize("caller", COOL)
def test_what_is_asked_anonymously_or_with_a_read_key_ranks_below_first_trainings(caller: Caller) -> None:
    trained(times=1)
    training = asked(by=caller)
    assert (training.reason, training.requested_by) == (TrainingReason.ASKED_ANONYMOUSLY, str(caller))
    assert training.priority == PRIORITIES[TrainingReason.ASKED_ANONYMOUSLY] < PRIORITIES[TrainingReason.NEVER_TRAINED]


@pytest.mark.parametrize("caller", URGENT)
def test_what_staff_or_a_train_key_ask_goes_first(caller: Caller) -> None:
    trained(times=1)
    training = asked(by=caller)
    assert (training.reason, training.requested_by) == (TrainingReason.REQUESTED, str(caller))
    assert training.priority == max(PRIORITIES.values())


def test_a_first_training_ranks_as_one() -> None:
    assert asked().reason == TrainingReason.NEVER_TRAINED


def test_a_second_attempt_of_a_first_training_ranks_below_first_trainings() -> None:
    make_training(make_symbol(), state=TrainingState.FAILED)
    assert asked().reason == TrainingReason.ASKED_ANONYMOUSLY


@pytest.mark.parametrize("caller", COOL)
@pytest.mark.parametrize("state", [TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.CANCELLED])
def test_a_symbol_is_retrained_at_most_once_in_the_cool_down(caller: Caller, state: TrainingState) -> None:
    trained(times=2, ago=timedelta(minutes=20), state=state)
    with pytest.raises(OverBudgetError, match="SAMPLE1 ended less than 60 min ago; try again in 40 min") as refused:
        asked(by=caller)
    assert 2395 < refused.value.wait_s <= 2400
    assert not Training.objects.active().exists()


def test_after_the_cool_down_it_is_retrained_again() -> None:
    trained(times=2, ago=timedelta(minutes=61))
    assert asked().is_active


def test_the_first_training_does_not_count() -> None:
    trained(times=1)
    assert asked().is_active


def test_the_cool_down_can_be_changed(settings: Settings) -> None:
    settings.RETRAIN_COOLDOWN = 60
    trained(times=2, ago=timedelta(seconds=61))
    assert asked().is_active


@pytest.mark.parametrize("caller", URGENT)
def test_staff_and_train_keys_need_not_wait(caller: Caller) -> None:
    trained(times=2)
    assert asked(by=caller).is_active


def test_an_active_training_is_returned_and_rises_to_the_callers_class_only() -> None:
    old = make_training(make_symbol("SAMPLE1"), reason=TrainingReason.TOO_OLD)
    first = make_training(make_symbol("SAMPLE2"), reason=TrainingReason.NEVER_TRAINED)
    assert asked("SAMPLE1") == old
    assert asked("SAMPLE2") == first
    ranks = {training.pk: training.reason for training in Training.objects.all()}
    assert ranks == {old.pk: TrainingReason.ASKED_ANONYMOUSLY, first.pk: TrainingReason.NEVER_TRAINED}


def test_an_active_training_costs_no_budget() -> None:
    make_training(trained(times=2), reason=TrainingReason.TOO_OLD)
    asked()
    assert not Spending.objects.exists()


def test_retrainings_have_a_budget(settings: Settings) -> None:
    settings.ANONYMOUS_RETRAININGS_PER_DAY = 1
    trained("SAMPLE1", times=1)
    trained("SAMPLE2", times=1)
    asked("SAMPLE1")
    with pytest.raises(OverBudgetError, match="your address may start 1 retrainings a day; try again in 24 h"):
        asked("SAMPLE2")
    assert Training.objects.active().count() == 1


def test_a_full_queue_costs_no_budget(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1
    trained(times=1)
    make_training(make_symbol("SAMPLE2"))
    with pytest.raises(QueueFullError):
        asked()
    assert spend(ANA, Budget.RETRAININGS, wanted=30).granted == 30


def test_what_is_asked_anonymously_fills_the_queue_for_itself_only(settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 2
    for number in range(1, 4):
        trained(f"SAMPLE{number}", times=1)
    asked("SAMPLE1")
    asked("SAMPLE2")
    with pytest.raises(QueueFullError):
        asked("SAMPLE3")
    assert asked("SAMPLE4").reason == TrainingReason.NEVER_TRAINED
    assert asked("SAMPLE3", by=STAFF).reason == TrainingReason.REQUESTED
