"""One worker in a folder: a second one is refused, what a dead one left is waited for and then killed."""

import signal
import sys
from pathlib import Path

import pytest

from forecasting.runtime.processes import ProcessGroup
from forecasting.runtime.worker_lock import AnotherWorkerError, Sole, sole_worker

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]


def group_of(sole: Sole) -> ProcessGroup:
    """A process group as a worker starts it, noted for the next one."""
    group = ProcessGroup("group", FOREVER, descriptors=[sole.descriptor])
    sole.note([group.pid])
    return group


def test_a_second_worker_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    second = sole_worker(tmp_path, patience_s=0.1, grace_s=0.1)
    with sole_worker(tmp_path, patience_s=1, grace_s=1), pytest.raises(AnotherWorkerError, match="STATE_DIR"), second:
        pass


def test_the_next_worker_may_start_when_all_has_ended(tmp_path: Path) -> None:
    for _ in range(2):
        with sole_worker(tmp_path, patience_s=1, grace_s=1) as sole:
            group_of(sole).stop(grace_s=5)


def test_what_a_dead_worker_left_is_killed_after_its_grace(tmp_path: Path) -> None:
    with sole_worker(tmp_path, patience_s=1, grace_s=1) as sole:
        left = group_of(sole)
    with sole_worker(tmp_path, patience_s=1, grace_s=0.1):
        assert left.ended() == -signal.SIGKILL
    left.stop(grace_s=0)


def test_another_folder_is_another_machine(tmp_path: Path) -> None:
    with sole_worker(tmp_path / "one", patience_s=1, grace_s=1), sole_worker(tmp_path / "two", patience_s=1, grace_s=1):
        pass
