"""A task cluster's heartbeat: its processes report to the worker that started it, through a pipe.

Each process reports when a task begins and ends, and answers pings. A ping is an empty task that takes the way of all tasks but is
addressed to one cluster. A cluster that answers no ping, although some of its processes are idle, hangs. The worker also knows
which tasks the cluster has dequeued but not finished, so that it can return them to the queue at once.
"""

import os
import time
from typing import Any

from django_q.signals import post_execute_in_worker, pre_execute

HEARTBEAT_PIPE = "HEARTBEAT_FD"  # environment variable: the descriptor that a cluster's processes write to
PING = "forecasting.runtime.heartbeat.answer_ping"  # the task, by name

BUSY, IDLE, ALIVE = "busy", "idle", "alive"  # messages about a process, with its id
TAKEN, DONE = "taken", "done"  # messages about a task, with its primary key


def answer_ping() -> None:
    """The task that a ping consists of."""
    _send(ALIVE)


def task_taken(task: int) -> None:
    """Reports that a task was dequeued."""
    _send(TAKEN, task)


def task_done(task: int) -> None:
    """Reports that a task was removed from the queue."""
    _send(DONE, task)


def beat() -> None:
    """Reports that a long task still makes progress. Does nothing in a process outside a cluster."""
    _send(BUSY)


def report_tasks() -> None:
    """Makes this process, and each one forked from it, report when a task begins and ends."""
    pre_execute.connect(_begins)
    post_execute_in_worker.connect(_ends)


class Heartbeat:
    """The worker's end of the pipe."""

    def __init__(self) -> None:
        """Opens the pipe; the cluster inherits `descriptor`."""
        self._reading, self.descriptor = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self.descriptor, False)  # a worker that does not read must never block a task
        self._unread = b""
        self._busy: dict[int, float] = {}
        self.answered_at = time.monotonic()
        self.taken: set[int] = set()  # tasks that were dequeued but are not done

    def read(self) -> None:
        """Processes the messages that have arrived since the last call."""
        try:
            while data := os.read(self._reading, 65_536):
                self._unread += data
        except BlockingIOError:
            pass
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            number, message = line.decode().split()
            self._handle(int(number), message)

    def busy(self, *, within_s: float) -> int:
        """How many of the cluster's processes work on a task, by reports of the last `within_s` seconds."""
        now = time.monotonic()
        self._busy = {pid: said for pid, said in self._busy.items() if now - said < within_s and _is_alive(pid)}
        return len(self._busy)

    def close(self) -> None:
        """Closes both ends."""
        os.close(self._reading)
        os.close(self.descriptor)

    def _handle(self, number: int, message: str) -> None:
        if message == ALIVE:
            self.answered_at = time.monotonic()
        elif message == BUSY:
            self._busy[number] = time.monotonic()
        elif message == IDLE:
            self._busy.pop(number, None)
        elif message == TAKEN:
            self.taken.add(number)
        else:
            self.taken.discard(number)


def _begins(**_: Any) -> None:
    _send(BUSY)


def _ends(**_: Any) -> None:
    _send(IDLE)


def _send(message: str, number: int | None = None) -> None:
    if HEARTBEAT_PIPE not in os.environ:
        return
    try:
        os.write(int(os.environ[HEARTBEAT_PIPE]), f"{os.getpid() if number is None else number} {message}\n".encode())
    except (BlockingIOError, BrokenPipeError):
        return  # the worker is suspended or gone; the stop pipe tells whoever needs to know


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
