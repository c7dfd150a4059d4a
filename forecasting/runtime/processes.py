"""Child processes as whole process groups: started apart from the terminal, ended politely first, then for certain.

Each child gets a lifeline: the reading end of a pipe whose writing end its starter alone holds. It reads as ended as soon as the
starter stops the child, or dies, however it dies.
"""

import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

LIFELINE = "LIFELINE_FD"  # names the child's descriptor
PR_SET_PDEATHSIG = 1

logger = logging.getLogger(__name__)


class ProcessGroup:
    """A command and all that it starts. The terminal's Ctrl-C does not reach it: its starter decides when it ends."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        output: Path | None = None,
        descriptors: Iterable[int] = (),
    ) -> None:
        """Starts the command with `env` added to the environment; `output` collects its output, `descriptors` stay open in it."""
        self.name = name
        reading, self._hold = os.pipe()
        sink = output.open("ab") if output else None
        try:
            self._process = subprocess.Popen(
                list(command),
                env=os.environ | dict(env or {}) | {LIFELINE: str(reading)},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT if sink else None,
                pass_fds=[reading, *descriptors],
                start_new_session=True,
            )
        finally:
            os.close(reading)
            if sink:
                sink.close()

    @property
    def pid(self) -> int:
        """Of the command itself, and of its group."""
        return self._process.pid

    def ended(self) -> int | None:
        """The command's exit status, None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Drops the lifeline and sends SIGTERM to the command alone: it ends its own children in order."""
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1
        if self.ended() is None:
            self._process.terminate()

    def stop(self, *, grace_s: float) -> None:
        """Asks, waits at most `grace_s` seconds, then kills whatever is left of the group."""
        self.ask_to_stop()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop within %.0f s and is killed", self.name, grace_s)
        self._kill()

    def _kill(self) -> None:
        """Kills the whole group, also where the command itself has ended before its children."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            logger.debug("%s has ended", self.name)
        self._process.wait()


class StopSignal:
    """Remembers that the process is to end: SIGTERM or SIGINT arrived, or its starter is gone."""

    def __init__(self) -> None:
        """Takes over both signals; call it in the main thread."""
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._event.set())

    def wait(self, seconds: float) -> bool:
        """Whether the process is to end, waiting for at most that long."""
        return self._event.wait(seconds) or parent_is_gone()


def lifeline() -> int | None:
    """The descriptor to watch beside others, None in a process that was started without one."""
    return int(os.environ[LIFELINE]) if LIFELINE in os.environ else None


def parent_is_gone(*, wait_s: float = 0.0) -> bool:
    """Whether the starter, if it gave a lifeline, stops this process or has died; waits at most `wait_s` seconds for that."""
    watched = [] if (descriptor := lifeline()) is None else [descriptor]
    return bool(select.select(watched, [], [], wait_s)[0])


def die_with_parent(number: signal.Signals) -> None:
    """Has the kernel send this process the signal when its parent ends, and keeps that over exec. Linux only, else nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def wait_for(condition: Callable[[], bool], *, seconds: float, every_s: float = 0.1) -> bool:
    """Whether the condition came true in time."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        threading.Event().wait(every_s)
    return True
