"""Faults inside the service's own processes. Python imports this file at start if PYTHONPATH contains its folder.

CLOCK_OFFSET: seconds by which the process's clock is wrong. CLOCK_FILE: a file with the same in nanoseconds (8 bytes), which may
change at any time. LEAK_FILE: as long as this file exists, a trainer's memory grows.
"""

import mmap
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


def _follow(file: Path) -> None:
    """Also in forked processes, because they share the mapping."""
    with file.open("rb") as opened:
        ahead = mmap.mmap(opened.fileno(), 8, access=mmap.ACCESS_READ)
    started_s, started_ns = time.monotonic(), time.time_ns()

    def time_ns() -> int:
        elapsed = int((time.monotonic() - started_s) * 1e9)  # the module's own functions are those of the traveller from now on
        return started_ns + elapsed + int.from_bytes(ahead[:8], "little", signed=True)

    time_machine.travel(0).start().time_ns = time_ns  # type: ignore[method-assign]


if "CLOCK_OFFSET" in os.environ:
    time_machine.travel(datetime.now(UTC) + timedelta(seconds=int(os.environ["CLOCK_OFFSET"])), tick=True).start()
if "CLOCK_FILE" in os.environ:
    _follow(Path(os.environ["CLOCK_FILE"]))
if "LEAK_FILE" in os.environ and "trainer" in sys.orig_argv:
    threading.Thread(target=_leak, args=[Path(os.environ["LEAK_FILE"])], daemon=True).start()
