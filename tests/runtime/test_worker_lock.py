"""One worker per folder: a second one is refused; processes of a dead one get a grace period, then they are killed."""

import signal
import sys
from pathlib import Path

import pytest

from forecasting.runtime.processes import ProcessGroup
from forecasting.runtime.worker_lock import AnotherWorkerError, WorkerLock, worker_lock

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]


def group_of(lock: WorkerLock) -> ProcessGroup:
    """A process group as a worker starts it, recorded for the next worker."""
    group = ProcessGroup("group", FOREVER, descriptors=[lock.descriptor])
    lock.record_groups([group.pid])
    return group


def test_a_second_worker_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    second = worker_lock(tmp_path, patience_s=0.1, grace_s=0.1)
    with worker_lock(tmp_path, patience_s=1, grace_s=1), pytest.raises(AnotherWorkerError, match="STATE_DIR"), second:
        pass


def test_the_next_worker_starts_once_all_processes_have_ended(tmp_path: Path) -> None:
    for _ in range(2):
        with worker_lock(tmp_path, patience_s=1, grace_s=1) as lock:
            group_of(lock).stop(grace_s=5)


def test_processes_of_a_dead_worker_are_killed_after_the_grace_period(tmp_path: Path) -> None:
    with worker_lock(tmp_path, patience_s=1, grace_s=1) as lock:
        left = group_of(lock)
    with worker_lock(tmp_path, patience_s=1, grace_s=0.1):
        assert left.ended() == -signal.SIGKILL
    left.stop(grace_s=0)


def test_another_folder_has_a_lock_of_its_own(tmp_path: Path) -> None:
    with worker_lock(tmp_path / "one", patience_s=1, grace_s=1), worker_lock(tmp_path / "two", patience_s=1, grace_s=1):
        pass
