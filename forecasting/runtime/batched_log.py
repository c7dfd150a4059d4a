"""A log file for many lines: they are written together twice a second.

A lock, a look at the size and a write for each line would cost a quarter of a `predict`. A process that is killed loses what it has
not written.
"""

import logging
import threading
from typing import Any

from concurrent_log_handler import ConcurrentRotatingFileHandler

SECONDS = 0.5


class BatchedFile(ConcurrentRotatingFileHandler):
    """A rotating file that several processes share."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the line; the first one of a batch starts the clock. The caller holds the handler's lock."""
        self._lines.append(self.format(record))
        if len(self._lines) == 1:
            clock = threading.Timer(SECONDS, self.write_lines)
            clock.daemon = True
            clock.start()

    def format(self, record: logging.LogRecord) -> str:
        """A batch is formatted already."""
        return str(record.msg) if record.name == self.__class__.__name__ else str(super().format(record))

    def write_lines(self) -> None:
        """Writes what is kept."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                super().emit(logging.makeLogRecord({"name": self.__class__.__name__, "msg": "\n".join(lines)}))
        finally:
            self.release()

    def close(self) -> None:
        """Writes the last lines, at the end of the process."""
        self.write_lines()
        super().close()
