"""The trainer process is stopped if it exceeds its limits."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from forecasting.background import trainer_parent
from forecasting.background.trainer_parent import TrainerEndedError, TrainerProcess, resident_mb
from forecasting.models import ModelVersion, Training
from forecasting.models.locks import lock_symbols
from forecasting.models.trainings import Outcome
from forecasting.registry.files import models_root, scratch_prefix
from forecasting.runtime.processes import wait_for
from tests.factories import add_bars, make_claimed, make_symbol
from tests.racing import begin, slow
from tests.running import MARK, environment, process_ids

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


def test_waiting_for_prices_ends_before_the_lease_does(settings: Settings) -> None:
    settings.LEASE_SECONDS = 2
    training = make_claimed(symbol := make_symbol())
    with lock_symbols([symbol]), ThreadPoolExecutor(1) as threads, TrainerProcess() as trainer:
        begin(threads, partial(trainer_parent.train, training, trainer)).result()
    assert training.lease_expires_at
    assert timezone.now() < training.lease_expires_at
    training.refresh_from_db()
    assert training.error == "another process has been fetching its prices for too long; try again later"


def test_the_lease_is_renewed_while_the_trainer_says_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.LEASE_SECONDS = 2
    monkeypatch.setenv(MARK, str(tmp_path))
    symbol = make_symbol()
    add_bars(symbol)
    training = make_claimed(symbol)

    def lease() -> datetime:
        (until,) = Training.objects.values_list("lease_expires_at", flat=True)
        assert until
        return until

    def silence_it() -> bool:
        """Whether a whole lease was gained while the trainer stood still; ends it afterwards."""
        assert wait_for(lambda: bool(process_ids(tmp_path, command="trainer")), seconds=30, every_s=0.001)
        (trainer,) = process_ids(tmp_path, command="trainer")
        os.kill(trainer, signal.SIGSTOP)
        enough = lease() + timedelta(seconds=3)
        renewed = wait_for(lambda: lease() > enough, seconds=15)
        os.kill(trainer, signal.SIGKILL)
        return renewed

    with ThreadPoolExecutor(1) as threads, TrainerProcess() as trainer:
        renewed = begin(threads, silence_it)
        with pytest.raises(TrainerEndedError, match="killed by SIGKILL"):
            trainer.run(training)
        assert renewed.result()


def test_a_lease_that_is_extended_while_the_trainer_publishes_does_not_stop_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.LEASE_SECONDS = 2
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    add_bars(symbol := make_symbol(), count=600)
    training = make_claimed(symbol)
    with slow("INSERT", ModelVersion, seconds=2), TrainerProcess() as trainer:
        assert trainer.run(training) == (Outcome.PUBLISHED, "")


def test_a_killed_trainer_leaves_no_scratch_folder_and_those_of_others_stay(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    monkeypatch.setenv(MARK, str(tmp_path))
    training = make_claimed(make_symbol())
    others = models_root() / f"{scratch_prefix(os.getpid())}of-another"
    others.mkdir(parents=True)

    def write_and_die() -> None:
        assert wait_for(lambda: bool(process_ids(tmp_path, command="trainer")), seconds=30, every_s=0.001)
        (trainer,) = process_ids(tmp_path, command="trainer")
        (models_root() / f"{scratch_prefix(trainer)}half-written").mkdir()
        os.kill(trainer, signal.SIGKILL)

    with ThreadPoolExecutor(1) as threads, TrainerProcess() as trainer:
        died = begin(threads, write_and_die)
        with pytest.raises(TrainerEndedError, match="killed by SIGKILL"):
            trainer.run(training)
        died.result()
        assert list(models_root().iterdir()) == [others]


def test_the_memory_of_a_process_is_known_and_that_of_none_is_nothing() -> None:
    assert resident_mb(os.getpid()) > 20
    assert resident_mb(2**22 + 1) == 0
