"""A clock that shows when this process was suspended: by SIGSTOP, a paused container, or a machine that slept."""

import time

# Unlike CLOCK_MONOTONIC it also counts while the machine sleeps, and unlike the wall clock nobody sets it. Linux only.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Pace:
    """Of a loop that looks at something several times a second."""

    def __init__(self, *, longest_s: float) -> None:
        """`longest_s`: a longer time between two looks counts as a suspension."""
        self._longest_s, self._looked_at = longest_s, time.clock_gettime(CLOCK)

    def was_suspended(self) -> bool:
        """Whether this process was suspended since the last call, or so busy that it makes no difference."""
        before, self._looked_at = self._looked_at, time.clock_gettime(CLOCK)
        return self._looked_at - before > self._longest_s
