"""A cluster's heartbeat: answers to pings arrive, and busy processes are counted, except dead and silent ones."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from forecasting.runtime import heartbeat
from forecasting.runtime.heartbeat import HEARTBEAT_PIPE, Heartbeat
from forecasting.runtime.processes import wait_for
from stockpred import pulse

REPORT_SECONDS = 60


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heartbeat]:
    """The worker's end of the pipe; this process plays a process of the cluster."""
    worker_end = Heartbeat()
    monkeypatch.setenv(HEARTBEAT_PIPE, str(worker_end.descriptor))
    yield worker_end
    worker_end.close()


def busy(monitor: Heartbeat, *, within_s: float = REPORT_SECONDS) -> int:
    monitor.read()
    return monitor.busy(within_s=within_s)


@pytest.mark.parametrize("answer", [heartbeat.answer_ping, pulse.answer], ids=["now", "queued by an earlier release"])
def test_an_answer_to_a_ping_arrives(monitor: Heartbeat, answer: Callable[[], None]) -> None:
    before = monitor.answered_at
    answer()
    monitor.read()
    assert monitor.answered_at > before


def test_a_process_is_busy_from_the_beginning_of_a_task_to_its_end(monitor: Heartbeat) -> None:
    assert busy(monitor) == 0
    heartbeat._begins()
    heartbeat.beat()
    assert busy(monitor) == 1
    heartbeat._ends()
    assert busy(monitor) == 0


def test_a_process_that_has_not_reported_for_too_long_is_not_busy(monitor: Heartbeat) -> None:
    heartbeat.beat()
    assert busy(monitor, within_s=0) == 0


def test_a_process_that_died_in_a_task_is_not_busy(monitor: Heartbeat) -> None:
    code = "import django; django.setup(); from forecasting.runtime import heartbeat; heartbeat.beat()"
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=[monitor.descriptor])
    assert busy(monitor) == 0


def test_tasks_that_were_dequeued_but_are_not_done_are_known(monitor: Heartbeat) -> None:
    for task in (1, 2, 3):
        heartbeat.task_taken(task)
    heartbeat.task_done(2)
    monitor.read()
    assert monitor.taken == {1, 3}


def test_a_worker_that_does_not_read_blocks_no_task(monitor: Heartbeat) -> None:
    for _ in range(20_000):
        heartbeat.beat()
    assert wait_for(lambda: busy(monitor) == 1, seconds=5)


def test_a_process_outside_a_cluster_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HEARTBEAT_PIPE, raising=False)
    heartbeat.beat()
    assert HEARTBEAT_PIPE not in os.environ
