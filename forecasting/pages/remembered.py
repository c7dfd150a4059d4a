"""What a process remembers for a minute, because it costs much to read and changes a few times a day."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

SECONDS = 60.0


class Remembered(Generic[Value]):
    """The result of `read`, for a minute; then the same as long as `mark` is the same, if there is one.

    While one thread reads again, the others get the earlier result.
    """

    def __init__(self, read: Callable[[], Value], *, mark: Callable[[], object] | None = None) -> None:
        self._read, self._mark = read, mark
        self._reading = threading.Lock()
        self._known: tuple[Value, object] | None = None
        self._until = 0.0

    def __call__(self) -> Value:
        """The result."""
        if (known := self._known) and time.monotonic() < self._until:
            return known[0]
        if not self._reading.acquire(blocking=known is None) and known:
            return known[0]
        try:
            return self._renewed()
        finally:
            self._reading.release()

    def forget(self) -> None:
        """Reads again the next time."""
        self._known = None

    def _renewed(self) -> Value:
        mark = self._mark() if self._mark else None  # before it reads: a change in between is noticed the next time
        if self._known is None or self._mark is None or mark != self._known[1]:
            self._known = self._read(), mark
        self._until = time.monotonic() + SECONDS
        return self._known[0]
