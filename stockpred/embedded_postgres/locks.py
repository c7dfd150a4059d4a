"""File locks that the kernel releases when the holding processes end, even after a crash."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL = 0.02  # seconds between two tries


def until(timeout: float, otherwise: str) -> Iterator[None]:
    """Yield repeatedly for `timeout` seconds, then raise TimeoutError with the text `otherwise`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL)
    raise TimeoutError(f"{otherwise} (waited {timeout:.0f} s)")


@contextmanager
def try_lock(path: Path) -> Iterator[int | None]:
    """The file descriptor that holds the lock, or None if another process holds it.

    A process started with the descriptor (`pass_fds`) keeps the lock after the block ends.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode=0o600)
    try:
        yield descriptor if _take(descriptor) else None
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, *, timeout: float) -> Iterator[None]:
    """Hold the lock for the block. Raises TimeoutError if others hold it for `timeout` seconds."""
    for _ in until(timeout, f"another process holds {path}"):
        with try_lock(path) as lock:
            if lock is not None and _is_still_at(path, lock):
                try:
                    yield
                finally:
                    fcntl.flock(lock, fcntl.LOCK_UN)  # also unlocks it for a process that was forked meanwhile
                return


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still_at(path: Path, descriptor: int) -> bool:
    """False if the previous holder deleted the file, because the next process would then lock a new file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
