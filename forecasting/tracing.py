"""The id of the request that the present work belongs to, in every log line: of the request itself, and of what it caused.

A task carries the id in its package, a training in its row. Work that nobody asked for has none.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

SECURITY = "django.security."

_current: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The present id; empty if no request caused this work."""
    return _current.get()


def begin(request_id: str) -> None:
    """From now on, this thread works for that request; for none if the id is empty."""
    _current.set(request_id)


@contextmanager
def work_for(request_id: str) -> Iterator[None]:
    """Works for that request during the block."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)


def end_request(**_: Any) -> None:
    """Receiver of `request_finished`: Django logs errors only after the last middleware has returned."""
    begin("")


def mark_task(*, task: dict[str, Any], **_: Any) -> None:
    """Receiver of `pre_enqueue`: adds the id to a task's package."""
    if current := request_id():
        task["request_id"] = current


def begin_task(*, task: dict[str, Any], **_: Any) -> None:
    """Receiver of `pre_execute`: the process works for the request that enqueued the task."""
    begin(task.get("request_id", ""))


def end_task(**_: Any) -> None:
    """Receiver of `post_execute_in_worker`."""
    begin("")


class Trace(logging.Filter):
    """Adds the id, if there is one, to each record.

    What Django refuses for security's sake is the client's fault: a warning without a traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true."""
        if (current := _current.get()) and not hasattr(record, "request_id"):
            record.request_id = current
        if record.name.startswith(SECURITY) and record.exc_info:
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
            record.exc_info = record.exc_text = None
        return True
