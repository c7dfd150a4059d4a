"""The recent actions of everybody."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from forecasting.accounts import log_change
from forecasting.console.actions import SHOWN, recent_actions
from forecasting.models import Symbol
from forecasting.models.trainings import TrainingState
from tests.factories import make_symbol, make_training

pytestmark = pytest.mark.django_db


@pytest.fixture
def symbol() -> Symbol:
    return make_symbol("PETR4.SA")


def told() -> list[tuple[str, str, str]]:
    return [(action.who, action.subject, action.what) for action in recent_actions(with_trainings=True)]


def test_the_log_says_who_changed_what(symbol: Symbol) -> None:
    log_change(User.objects.create_user("ana"), symbol, "Cancelled through the API by key of mine.")
    assert told() == [("account ana", "PETR4.SA", "Cancelled through the API by key of mine.")]


def test_a_training_says_which_key_asked_for_it(symbol: Symbol) -> None:
    make_training(symbol, requested_by="key notebook")
    assert told() == [("key notebook", "PETR4.SA", "Training requested (queued).")]


def test_a_training_that_nobody_asked_for_is_no_action(symbol: Symbol) -> None:
    make_training(symbol)
    assert told() == []


@pytest.mark.parametrize("message", ["Training requested.", "Training requested through the API by key notebook."])
def test_a_training_is_told_once_however_staff_asked(symbol: Symbol, message: str) -> None:
    log_change(User.objects.create_user("ana"), symbol, message)
    make_training(symbol, requested_by="key notebook")
    assert told() == [("key notebook", "PETR4.SA", "Training requested (queued).")]


def test_of_two_trainings_of_a_symbol_each_is_told_once(symbol: Symbol) -> None:
    earlier = timezone.now() - timedelta(hours=1)
    make_training(symbol, requested_by="account ana", state=TrainingState.SUCCEEDED, created_at=earlier)
    make_training(symbol, requested_by="account ana")
    log_change(User.objects.create_user("ana"), symbol, "Training requested.")
    assert [what for *_, what in told()] == ["Training requested (queued).", "Training requested (succeeded)."]


def test_a_second_request_for_the_same_training_is_told_too(symbol: Symbol) -> None:
    make_training(symbol, requested_by="key notebook", created_at=timezone.now() - timedelta(minutes=2))
    log_change(User.objects.create_user("ana"), symbol, "Training requested.")
    assert [who for who, *_ in told()] == ["account ana", "key notebook"]


def test_whoever_may_not_see_trainings_sees_the_log_alone(symbol: Symbol) -> None:
    log_change(User.objects.create_user("ana"), symbol, "Training requested.")
    make_training(symbol, requested_by="account ana")
    assert [action.what for action in recent_actions(with_trainings=False)] == ["Training requested."]


def test_actions_of_deleted_accounts_stay(symbol: Symbol) -> None:
    user = User.objects.create_user("ana")
    log_change(user, symbol, "Activated.")
    user.delete()
    assert told() == [("account deleted-accounts", "PETR4.SA", "Activated. (by the deleted account ana)")]


def test_the_newest_actions_of_both_come_first(symbol: Symbol) -> None:
    user = User.objects.create_user("ana")
    for number in range(SHOWN):
        log_change(user, symbol, f"{number}")
    past = timezone.now() - timedelta(days=1)
    make_training(symbol, requested_by="key old", state=TrainingState.SUCCEEDED, created_at=past)
    make_training(symbol, requested_by="key new", created_at=timezone.now() + timedelta(minutes=1))
    assert [who for who, *_ in told()] == ["key new", *["account ana"] * (SHOWN - 1)]
