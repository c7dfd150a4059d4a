"""Waiting for a training without asking again and again."""

import threading
import time

from forecasting.models import Training

POLL_SECONDS = 0.5
_turn = threading.Semaphore(1)  # at most one request of a process waits: its threads are few


def wait_until_ended(training: Training, *, seconds: float) -> bool:
    """Waits until the training has ended, for at most `seconds`, and reloads it; False if another request waits already."""
    if not training.is_active or not seconds:
        return True
    if not _turn.acquire(blocking=False):
        return False
    try:
        ends = time.monotonic() + seconds
        while training.is_active and (left := ends - time.monotonic()) > 0:
            time.sleep(min(POLL_SECONDS, left))
            training.refresh_from_db()
    finally:
        _turn.release()
    return True
