"""A task cluster's pulse: what its processes say of themselves through a pipe to the worker that started it.

Each says when it begins and ends a task, and answers letters: tasks without any work, which come to this one cluster by the way
that all tasks take. A cluster that answers none, though not all of its processes are at work, has stopped working. What it has
taken from the queue and not done is known, so that others can do it at once.
"""

import os
import time
from typing import Any

from django_q.signals import post_execute_in_worker, pre_execute

PULSE = "PULSE_FD"  # names the descriptor that a cluster's processes write to
ANSWER = "forecasting.runtime.heartbeat.answer"

BUSY, IDLE, ALIVE = "busy", "idle", "alive"  # said of a process, by its id
TAKEN, DONE = "taken", "done"  # said of a task, by its key


def answer() -> None:
    """The task of a letter."""
    _say(ALIVE)


def took(task: int) -> None:
    """A task was taken from the queue."""
    _say(TAKEN, task)


def did(task: int) -> None:
    """A task is off the queue."""
    _say(DONE, task)


def beat() -> None:
    """A long task goes on. Says nothing in a process that belongs to no cluster."""
    _say(BUSY)


def announce_tasks() -> None:
    """From now on this process, and each that is forked from it, says when it begins and ends a task."""
    pre_execute.connect(_begins)
    post_execute_in_worker.connect(_ends)


class Pulse:
    """The worker's end of the pipe."""

    def __init__(self) -> None:
        """Opens the pipe; `descriptor` goes to the cluster."""
        self._reading, self.descriptor = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self.descriptor, False)  # a worker that does not read must never hold up a task
        self._unread = b""
        self._busy: dict[int, float] = {}
        self.answered_at = time.monotonic()
        self.taken: set[int] = set()  # tasks of the queue that are not done

    def listen(self) -> None:
        """Takes in what was said since the last time."""
        try:
            while data := os.read(self._reading, 65_536):
                self._unread += data
        except BlockingIOError:
            pass
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            number, word = line.decode().split()
            self._hear(int(number), word)

    def busy(self, *, patience_s: float) -> int:
        """How many of the cluster's processes are at work, by their own words of the last `patience_s` seconds."""
        now = time.monotonic()
        self._busy = {pid: said for pid, said in self._busy.items() if now - said < patience_s and _is_alive(pid)}
        return len(self._busy)

    def close(self) -> None:
        """Closes both ends."""
        os.close(self._reading)
        os.close(self.descriptor)

    def _hear(self, number: int, word: str) -> None:
        if word == ALIVE:
            self.answered_at = time.monotonic()
        elif word == BUSY:
            self._busy[number] = time.monotonic()
        elif word == IDLE:
            self._busy.pop(number, None)
        elif word == TAKEN:
            self.taken.add(number)
        else:
            self.taken.discard(number)


def _begins(**_: Any) -> None:
    _say(BUSY)


def _ends(**_: Any) -> None:
    _say(IDLE)


def _say(word: str, number: int | None = None) -> None:
    if PULSE not in os.environ:
        return
    try:
        os.write(int(os.environ[PULSE]), f"{os.getpid() if number is None else number} {word}\n".encode())
    except (BlockingIOError, BrokenPipeError):
        return  # the worker is stopped, or gone; whoever needs to know that watches the lifeline


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
