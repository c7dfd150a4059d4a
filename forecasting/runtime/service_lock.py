"""One service per folder: a second `manage.py run` is refused, and whoever wants to stop the database learns who uses it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forecasting.runtime.processes import wait_for
from stockpred.embedded_postgres.locks import try_lock

PATIENCE_SECONDS = 5  # for a service that is stopping, and for the worker of a killed one


class AnotherServiceError(Exception):
    """Another service runs in this folder; the message says which."""


@contextmanager
def service_lock(folder: Path) -> Iterator[None]:
    """Holds the folder for `manage.py run` during the block. Raises AnotherServiceError, and has changed nothing then."""
    folder.mkdir(parents=True, exist_ok=True)
    if not wait_for(lambda: who_runs(folder) is None, seconds=PATIENCE_SECONDS):
        raise AnotherServiceError(f"{who_runs(folder)} already runs with STATE_DIR {folder}. Stop it, or set another STATE_DIR.")
    with try_lock(_path(folder, "run")) as descriptor:
        if descriptor is None:
            raise AnotherServiceError(f"Another `manage.py run` has just started with STATE_DIR {folder}.")
        sign(descriptor)
        yield


def who_runs(folder: Path) -> str | None:
    """The service or worker that runs in the folder on this machine, as the beginning of a sentence; None if there is none."""
    for command in ("run", "worker"):
        path = _path(folder, command)
        if path.exists():
            with try_lock(path) as descriptor:
                if descriptor is None:
                    return f"`manage.py {command}` (process {path.read_text() or 'unknown'})"
    return None


def worker_file(folder: Path) -> Path:
    """The file that the worker locks. Another machine that shares the folder has files of its own."""
    return _path(folder, "worker")


def sign(descriptor: int) -> None:
    """Writes the id of this process into the file that it has locked."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _path(folder: Path, command: str) -> Path:
    return folder / f"{command}-{socket.gethostname()}.lock"
