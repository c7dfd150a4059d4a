"""The trainer process is stopped if it exceeds its limits."""

import os

import pytest
from pytest_django import Settings

from forecasting.background import trainer_parent
from forecasting.background.trainer_parent import TrainerProcess, resident_mb
from forecasting.models import Training
from tests.factories import add_bars, make_claimed, make_symbol

pytestmark = pytest.mark.django_db(transaction=True)


def attempt() -> Training:
    """A training after one attempt by a real trainer."""
    symbol = make_symbol()
    add_bars(symbol)
    training = make_claimed(symbol)
    with TrainerProcess() as trainer:
        assert trainer_parent.train(training, trainer)
    training.refresh_from_db()
    return training


def test_a_trainer_that_needs_too_much_memory_is_stopped_with_that_reason(settings: Settings) -> None:
    settings.TRAIN_MEMORY_MB = 60  # less than TensorFlow alone
    training = attempt()
    assert (training.state, training.error) == ("queued", "The trainer needed more than 60 MB of memory.")


def test_a_trainer_that_takes_too_long_is_stopped_with_that_reason(settings: Settings) -> None:
    settings.TRAIN_TIME_LIMIT = 0
    training = attempt()
    assert (training.state, training.error) == ("queued", "The training took longer than 0 s.")


def test_the_memory_of_a_process_is_known_and_without_a_process_it_is_zero() -> None:
    assert resident_mb(os.getpid()) > 20
    assert resident_mb(2**22 + 1) == 0
