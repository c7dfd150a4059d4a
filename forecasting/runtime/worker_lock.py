"""One worker per folder. Before a new one starts processes, it ends those that a killed worker left running.

There are two file locks, which the kernel releases in any case. One is held by the worker only. The other is inherited by its
process groups, so that it is free only when their last process is gone. The second file lists the groups.
"""

import logging
import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from forecasting.runtime.service_lock import sign, worker_file
from stockpred.embedded_postgres.locks import try_lock, until

LINE_BYTES = 100  # of the file of groups, which has the ids of two

logger = logging.getLogger(__name__)


class AnotherWorkerError(Exception):
    """Another worker runs in this folder."""


class WorkerLock:
    """Held by the only worker of a folder on this machine."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor  # of the file of groups; inherited by every process group

    def record_groups(self, groups: Iterable[int]) -> None:
        """Writes the ids of the process groups down, for the next worker: in place, which needs no room on a full disk."""
        os.pwrite(self.descriptor, " ".join(map(str, groups)).ljust(LINE_BYTES).encode(), 0)


@contextmanager
def worker_lock(folder: Path, *, patience_s: float, grace_s: float) -> Iterator[WorkerLock]:
    """Holds the lock during the block.

    Waits `patience_s` seconds for a running worker, then raises AnotherWorkerError. Processes that a dead worker left get `grace_s`
    seconds to end by themselves, then they are killed. Another machine that shares the folder has locks of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups_file = folder / f"worker-{socket.gethostname()}.groups"
    with ExitStack() as stack:
        mine = _lock(stack, worker_file(folder), seconds=patience_s)
        if mine is None:
            raise AnotherWorkerError(f"Another worker already runs with STATE_DIR {folder}. Stop it, or use another STATE_DIR.")
        sign(mine)
        held = _lock(stack, groups_file, seconds=0.1)
        if held is None:
            logger.warning("task clusters of a killed worker still run; they get %.0f s to end by themselves", grace_s)
            held = _lock(stack, groups_file, seconds=grace_s) or _lock_by_force(stack, groups_file)
        yield WorkerLock(held)


def _lock(stack: ExitStack, path: Path, *, seconds: float) -> int | None:
    """The descriptor of the lock, held until the stack closes; None if another process holds it the whole time."""
    with suppress(TimeoutError):
        for _ in until(seconds, "held"):
            attempt = ExitStack()
            descriptor = attempt.enter_context(try_lock(path))
            if descriptor is not None:
                stack.callback(attempt.close)
                return descriptor
            attempt.close()
    return None


def _lock_by_force(stack: ExitStack, groups_file: Path) -> int:
    """Kills the groups. Their ids cannot have been reused: as long as one of their processes lives, the lock is held."""
    for group in map(int, groups_file.read_text().split()):
        logger.warning("killing process group %d of a killed worker", group)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    held = _lock(stack, groups_file, seconds=10)
    if held is None:
        raise AnotherWorkerError(f"Task clusters of another worker hold {groups_file} and could not be killed. End them by hand.")
    return held
