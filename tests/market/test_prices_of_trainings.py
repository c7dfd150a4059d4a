"""Trainings without the newest prices: some wait, some use the stored bars, some fail."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from forecasting.background import trainer_parent
from forecasting.background.trainer_parent import TrainerProcess
from forecasting.models import Symbol, Training, Upstream
from forecasting.models.trainings import TrainingState
from forecasting.models.upstream import BreakerState
from forecasting.prices.calendars import last_completed_session
from tests.factories import add_bars, make_claimed, make_symbol, make_upstream
from tests.fake_yahoo import FakeYahoo

pytestmark = pytest.mark.django_db(transaction=True)


def attempted(training: Training) -> Training:
    """The training after one attempt by a real trainer."""
    with TrainerProcess() as trainer:
        assert trainer_parent.train(training, trainer)
    training.refresh_from_db()
    return training


@pytest.fixture
def paused(yahoo: FakeYahoo) -> Upstream:
    """Yahoo, with requests paused."""
    return make_upstream(state=BreakerState.OPEN, reason="Yahoo Finance refuses more requests for now")


def test_a_training_without_any_bars_waits_until_the_source_may_be_asked(paused: Upstream, yahoo: FakeYahoo) -> None:
    training = attempted(make_claimed(make_symbol("AAA")))
    assert (training.state, training.attempts, training.not_before) == (TrainingState.QUEUED, 0, paused.open_until)
    assert training.error.startswith("no prices are requested until 20")
    assert not yahoo.requests


@pytest.mark.usefixtures("paused")
def test_at_the_terminal_it_is_told_at_once_and_stays_in_the_queue() -> None:
    make_symbol("AAA")
    with pytest.raises(CommandError, match=r"Not trained:\nAAA: no prices are requested until .* refuses more requests"):
        call_command("train", "AAA")
    training = Training.objects.get()
    assert (training.state, training.attempts) == (TrainingState.QUEUED, 0)


@pytest.mark.usefixtures("paused")
def test_at_the_terminal_a_new_name_is_not_queued_while_the_source_is_not_asked() -> None:
    with pytest.raises(CommandError, match=r"Not trained:\nAAA: no prices are requested until .* refuses more requests"):
        call_command("train", "AAA")
    assert not Training.objects.exists()
    assert not Symbol.objects.exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe no text"], ids=["no file", "not a text"])
def test_prices_that_cannot_be_had_do_not_keep_it_from_the_stored_ones(
    folder: Path, settings: Settings, content: bytes | None
) -> None:
    settings.TRAIN_MEMORY_MB = 20  # so that the start of a trainer is visible, and it ends at once
    symbol = make_symbol("AAA")
    long_ago = last_completed_session(symbol.calendar, now=timezone.now() - timedelta(days=9))
    add_bars(symbol, count=30, end=long_ago)
    if content:
        (folder / "AAA.csv").write_bytes(content)
    training = attempted(make_claimed(symbol))
    assert training.error == "The trainer needed more than 20 MB of memory."


def test_refused_prices_without_stored_ones_are_a_failure_with_that_reason(folder: Path) -> None:
    (folder / "AAA.csv").write_bytes(b"\xff\xfe no text")
    training = attempted(make_claimed(make_symbol("AAA")))
    assert (training.state, training.attempts) == (TrainingState.FAILED, 1)
    assert training.error.startswith("its price file is not CSV text")
