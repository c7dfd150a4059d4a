"""How much slower the machine is while a case runs than when the limits were set, so that limits on time scale with it."""

import subprocess
import sys
import threading
import time
from typing import Self

STEP = [sys.executable, "-S", "-c", "import os; os.nice(10); sum(range(6_000_000))"]  # as nice as a trainer
STEP_SECONDS = 0.25  # usual ones: three times those of the step alone, because trials run side by side
PAUSE_SECONDS = 2.0
SLOWEST = 8.0  # a machine that is slower still is not worth waiting for


class Pace:
    """Takes the reference step again and again while the block runs."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._measured: list[tuple[float, float]] = []  # when a step ended, and its seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def slowness(self, *, seconds: float) -> float:
        """The factor by which limits grow, from the mean of the last `seconds`; never below 1."""
        if not self._measured:
            return 1.0
        since = time.monotonic() - seconds
        recent = [took for ended, took in self._measured if ended >= since] or [self._measured[-1][1]]
        return min(max(1.0, sum(recent) / len(recent) / STEP_SECONDS), SLOWEST)

    def _measure(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            began = time.monotonic()
            subprocess.run(STEP, check=True)
            ended = time.monotonic()
            self._measured.append((ended, ended - began))
