"""Faults inside the service's own processes. Python imports this file at start if PYTHONPATH contains its folder.

CLOCK_OFFSET: seconds by which the process's clock is wrong. LEAK_FILE: as long as this file exists, a trainer's memory grows.
"""

import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

CHUNK = 50 * 2**20  # bytes


def _leak(file: Path) -> None:
    kept = []
    while True:
        time.sleep(0.02)
        if file.exists():
            kept.append(b"\1" * CHUNK)


if "CLOCK_OFFSET" in os.environ:
    time_machine.travel(datetime.now(UTC) + timedelta(seconds=int(os.environ["CLOCK_OFFSET"])), tick=True).start()
if "LEAK_FILE" in os.environ and "trainer" in sys.orig_argv:
    threading.Thread(target=_leak, args=[Path(os.environ["LEAK_FILE"])], daemon=True).start()
