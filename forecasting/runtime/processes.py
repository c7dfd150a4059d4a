"""Child processes as process groups: detached from the terminal, stopped with SIGTERM first, then with SIGKILL.

Each child inherits a stop pipe: the reading end of a pipe whose writing end only its parent holds. The pipe reports end of file as
soon as the parent stops the child or dies, for whatever reason.
"""

import ctypes
import gc
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

STOP_PIPE = "STOP_PIPE_FD"  # environment variable: the child's descriptor
PR_SET_PDEATHSIG = 1
NICENESS = 10  # of trainings: lower CPU priority than the web server
AUTOGROUP = Path("/proc/self/autogroup")

logger = logging.getLogger(__name__)


def yield_to_other_sessions() -> None:
    """Lowers the CPU priority of this process group's session against all others.

    With autogroups, Linux shares the CPU among sessions first, and the niceness of a process counts only inside its session: a
    trainer with niceness 10 got as much as a web server process. Without autogroups it counts everywhere.
    """
    if os.getsid(0) == os.getpid():  # a terminal's session has other processes
        with suppress(OSError):
            AUTOGROUP.write_text(str(NICENESS))


def keep_loaded() -> None:
    """Takes what is loaded now, code above all, out of garbage collection. Call it once, at the end of a start, before a fork.

    A full collection writes to all objects that it counts, and thus copies all memory that forked processes share. And one is due
    only after a quarter as many new objects, so that garbage piles up for long beside all that code.
    """
    gc.collect()
    gc.freeze()


def return_freed_memory() -> None:
    """Gives the machine the memory that is free between objects in use, in about 1 ms. Only glibc keeps it, and has this call."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


class ProcessGroup:
    """A command and all processes that it starts. Ctrl-C in the terminal does not reach it: its parent decides when it stops."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        output: Path | None = None,
        descriptors: Iterable[int] = (),
    ) -> None:
        """Starts the command with `env` added to the environment; its output goes to `output`, and it inherits `descriptors`.

        Raises OSError.
        """
        self.name = name
        reading, self._hold = os.pipe()
        sink = output.open("ab") if output else None
        try:
            self._process = subprocess.Popen(
                list(command),
                env=os.environ | dict(env or {}) | {STOP_PIPE: str(reading)},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT if sink else None,
                pass_fds=[reading, *descriptors],
                start_new_session=True,
            )
        except OSError:
            os.close(self._hold)
            raise
        finally:
            os.close(reading)
            if sink:
                sink.close()

    @property
    def pid(self) -> int:
        """Id of the command's process, and of the group."""
        return self._process.pid

    def ended(self) -> int | None:
        """The command's exit status; None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Closes the stop pipe and sends SIGTERM to the command only: it stops its own children in order."""
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1
        if self.ended() is None:
            self._process.terminate()

    def stop(self, *, grace_s: float) -> None:
        """Asks, waits at most `grace_s` seconds, then kills what is left of the group."""
        self.ask_to_stop()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop within %.0f s and is killed", self.name, grace_s)
        self._kill()

    def _kill(self) -> None:
        """Kills the whole group, even if the command itself has ended before its children."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            logger.debug("%s has already ended", self.name)
        self._process.wait()


def end_on_signals() -> None:
    """Lets SIGTERM and SIGHUP end this process like Ctrl-C, so that it cleans up. A SIGHUP that is ignored (nohup) stays so."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: sys.exit("Stopped."))


class StopSignal:
    """Tells whether the process must stop: SIGTERM or SIGINT arrived, or its parent closed the stop pipe or died."""

    def __init__(self) -> None:
        """Installs handlers for both signals; call it in the main thread."""
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._event.set())

    def wait(self, seconds: float) -> bool:
        """Whether the process must stop; waits at most that long."""
        return self._event.wait(seconds) or stop_requested()


def stop_pipe() -> int | None:
    """The descriptor to watch beside others; None in a process that was started without one."""
    return int(os.environ[STOP_PIPE]) if STOP_PIPE in os.environ else None


def stop_requested(*, wait_s: float = 0.0) -> bool:
    """Whether the parent stops this process or has died; waits at most `wait_s` seconds. Without a stop pipe: False."""
    watched = [] if (descriptor := stop_pipe()) is None else [descriptor]
    return bool(select.select(watched, [], [], wait_s)[0])


def die_with_parent(number: signal.Signals) -> None:
    """Makes the kernel send this process the signal when its parent ends, even after exec. Linux only; does nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def wait_for(condition: Callable[[], bool], *, seconds: float, every_s: float = 0.1) -> bool:
    """Polls until the condition is true; False if time runs out first."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            return False
        threading.Event().wait(every_s)
    return True
