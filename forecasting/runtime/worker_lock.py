"""One worker at a time in a folder; what a killed one left running is ended before the next one starts its own processes.

Two file locks do it, which the kernel takes back whatever happens: one that the worker alone holds, and one that its process
groups inherit, so that it is free only when the last of their processes is gone. The second one's file names the groups.
"""

import logging
import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from stockpred.embedded_postgres.locks import try_lock, until

logger = logging.getLogger(__name__)


class AnotherWorkerError(Exception):
    """A worker runs in this folder already."""


class Sole:
    """The right to be the only worker in a folder of this machine."""

    def __init__(self, groups_file: Path, descriptor: int) -> None:
        self._groups_file = groups_file
        self.descriptor = descriptor  # every process group inherits it

    def note(self, groups: Iterable[int]) -> None:
        """Keeps the ids of the process groups for the worker after this one."""
        self._groups_file.write_text(" ".join(map(str, groups)))


@contextmanager
def sole_worker(folder: Path, *, patience_s: float, grace_s: float) -> Iterator[Sole]:
    """Holds the right for the block.

    A worker that runs is waited for `patience_s` seconds, then AnotherWorkerError is raised; what a dead one left has `grace_s` to
    end by itself, then it is killed. Another machine that shares the folder is not in the way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = socket.gethostname()
    groups_file = folder / f"worker-{name}.groups"
    with ExitStack() as stack:
        if _lock(stack, folder / f"worker-{name}.lock", seconds=patience_s) is None:
            raise AnotherWorkerError(f"A worker runs with STATE_DIR {folder} already; stop it, or give this one another STATE_DIR.")
        held = _lock(stack, groups_file, seconds=0.1)
        if held is None:
            logger.warning("task clusters of a worker that was killed still run; they have %.0f s to end", grace_s)
            held = _lock(stack, groups_file, seconds=grace_s) or _lock_by_force(stack, groups_file)
        yield Sole(groups_file, held)


def _lock(stack: ExitStack, path: Path, *, seconds: float) -> int | None:
    """The descriptor of the lock, held until the stack is left; None where somebody else holds it all the while."""
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
    """Kills the groups. While one of their processes lives, and holds the lock, no other process can have got their ids."""
    for group in map(int, groups_file.read_text().split()):
        logger.warning("killing the process group %d of a worker that was killed", group)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    held = _lock(stack, groups_file, seconds=10)
    if held is None:
        raise AnotherWorkerError(f"Task clusters of another worker hold {groups_file} and cannot be ended.")
    return held
