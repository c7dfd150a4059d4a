"""The commands for users at a terminal, run in separate processes."""

import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from django.conf import settings

from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import TrainingState
from forecasting.runtime.processes import wait_for
from tests.running import environment

pytestmark = pytest.mark.django_db(transaction=True)


def start(folder: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    """`manage.py ARGUMENTS` on the test database, with piped output."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
    env = os.environ | environment(folder) | variables
    # Tests in the background of a shell ignore Ctrl-C, and their child processes would inherit this.
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit status, output and error output."""
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def is_running() -> bool:
    return Training.objects.filter(state=TrainingState.RUNNING).exists()


def test_it_trains_and_predicts_at_the_terminal(tmp_path: Path) -> None:
    status, output, errors = finish(start(tmp_path, "train", "sample1"))
    assert status == 0, errors
    assert "SAMPLE1" in output
    assert "naive MAE" in output
    assert ModelVersion.objects.active().exclude(symbol=None).count() == 1
    status, output, errors = finish(start(tmp_path, "predict", "SAMPLE1", "SAMPLE2"))
    assert status == 0, errors
    assert "80 % interval" in output
    assert "SAMPLE2" in output  # the base model, until the symbol's own model is trained
    assert "(the last close)" in output or "(now, " in output  # New York trades


def test_a_training_that_cannot_succeed_says_why(tmp_path: Path) -> None:
    status, _, errors = finish(start(tmp_path, "train", "NOPE"))
    assert status != 0
    assert "NOPE: " in errors
    assert "Traceback" not in errors


def test_an_interrupted_training_waits_in_the_queue(tmp_path: Path) -> None:
    process = start(tmp_path, "train", "SAMPLE3")
    assert wait_for(is_running, seconds=60)
    process.send_signal(signal.SIGINT)
    status, _, errors = finish(process)
    assert status != 0
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    training = Training.objects.get()
    assert (training.state, training.attempts) == (TrainingState.QUEUED, 0)


def test_if_one_symbol_cannot_be_trained_no_training_is_requested(tmp_path: Path) -> None:
    status, _, errors = finish(start(tmp_path, "train", "SAMPLE1", "NOPE"))
    assert (status, Training.objects.count()) == (1, 0)
    status, _, errors = finish(start(tmp_path, "train", "SAMPLE1", "SAMPLE2", TRAIN_QUEUE_LIMIT="1"))
    assert (status, Training.objects.count()) == (1, 0)
    assert "CommandError: Not trained:\nthe queue is full" in errors


def test_a_bad_symbol_is_refused_with_the_reason(tmp_path: Path) -> None:
    status, _, errors = finish(start(tmp_path, "predict", "A B"))
    assert status != 0
    assert "A symbol has 1 to 24 characters" in errors


def test_the_service_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, errors = finish(start(tmp_path, "run", PORT=str(port)))
    assert status != 0
    assert f"PORT {port} on 127.0.0.1 cannot be used: Address already in use" in errors
