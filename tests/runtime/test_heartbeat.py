"""A cluster's pulse: answers arrive, those at work are counted, and nobody who is dead or silent."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from forecasting.runtime import heartbeat
from forecasting.runtime.heartbeat import PULSE, Pulse
from forecasting.runtime.processes import wait_for

PATIENCE_SECONDS = 60


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    """The worker's end; this process is one of the cluster's."""
    listener = Pulse()
    monkeypatch.setenv(PULSE, str(listener.descriptor))
    yield listener
    listener.close()


def busy(heard: Pulse, *, patience_s: float = PATIENCE_SECONDS) -> int:
    heard.listen()
    return heard.busy(patience_s=patience_s)


def test_an_answer_is_heard(heard: Pulse) -> None:
    before = heard.answered_at
    heartbeat.answer()
    heard.listen()
    assert heard.answered_at > before


def test_a_process_is_busy_from_the_beginning_of_a_task_to_its_end(heard: Pulse) -> None:
    assert busy(heard) == 0
    heartbeat._begins()
    heartbeat.beat()
    assert busy(heard) == 1
    heartbeat._ends()
    assert busy(heard) == 0


def test_a_process_that_says_nothing_for_too_long_is_not_busy(heard: Pulse) -> None:
    heartbeat.beat()
    assert busy(heard, patience_s=0) == 0


def test_a_process_that_died_in_a_task_is_not_busy(heard: Pulse) -> None:
    code = "import django; django.setup(); from forecasting.runtime import heartbeat; heartbeat.beat()"
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=[heard.descriptor])
    assert busy(heard) == 0


def test_what_was_taken_and_not_done_is_known(heard: Pulse) -> None:
    for task in (1, 2, 3):
        heartbeat.took(task)
    heartbeat.did(2)
    heard.listen()
    assert heard.taken == {1, 3}


def test_a_worker_that_does_not_listen_holds_nobody_up(heard: Pulse) -> None:
    for _ in range(20_000):
        heartbeat.beat()
    assert wait_for(lambda: busy(heard) == 1, seconds=5)


def test_a_process_of_no_cluster_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PULSE, raising=False)
    heartbeat.beat()
    assert PULSE not in os.environ
