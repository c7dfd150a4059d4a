"""The web server's processes: replaced if they die, restarted one after the other on request.

They share one listening socket that their parent holds. A connection that no process has accepted yet waits in that socket, so it
survives the end of any process. With one socket per process (SO_REUSEPORT) it would be reset.
"""

import logging
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from django.conf import settings

from forecasting.runtime.processes import ProcessGroup, StopSignal, wait_for

START_SECONDS = 60
STOP_SECONDS = 12  # a little more than a process gives its running requests
CHECK_SECONDS = 0.5
RETRY_SECONDS = 10  # after a process that could not be replaced
BACKLOG = 1024  # connections that may wait to be accepted
# By default, glibc's threads share up to eight arenas per core, and what is free in one is of no use to the others.
ONE_ARENA = {"MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "1")}

logger = logging.getLogger(__name__)


class WebProcessError(Exception):
    """The port is taken, or a web server process does not start."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections. Raises WebProcessError."""
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise WebProcessError(f"PORT {port} on {host} cannot be used: {reason}. Set PORT.") from error


class WebProcess(ProcessGroup):
    """One process of the web server."""

    def __init__(self, listener: socket.socket) -> None:
        """Starts it on the listening socket. Raises OSError if the machine has no room for it."""
        self._ready, writing = os.pipe()
        descriptors = (listener.fileno(), writing)
        command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "web_process", *map(str, descriptors)]
        try:
            super().__init__("web server process", command, env=ONE_ARENA, descriptors=descriptors)
        except OSError:
            os.close(self._ready)
            raise
        finally:
            os.close(writing)

    def until_ready(self, stop: StopSignal) -> None:
        """Waits until it accepts connections, or must stop. Raises WebProcessError if it has ended or is too slow."""
        wait_for(lambda: self._is_heard() or stop.wait(0), seconds=START_SECONDS)
        ready = self._is_heard() and os.read(self._ready, 1) != b""
        os.close(self._ready)
        if not ready and not stop.wait(0):
            self.stop(grace_s=0)
            raise WebProcessError(f"A web server process did not start (status {self.ended()}).")

    def _is_heard(self) -> bool:
        return bool(select.select([self._ready], [], [], 0)[0])


class WebProcesses:
    """All of them."""

    def __init__(self, listener: socket.socket, *, count: int) -> None:
        """Starts nothing yet."""
        self._listener, self._count = listener, count
        self._processes: list[WebProcess] = []
        self._restart, self._retry_at = False, 0.0
        signal.signal(signal.SIGHUP, self._request_restart)

    def run(self, stop: StopSignal) -> None:
        """Serves until the stop signal. Raises WebProcessError if they cannot start."""
        try:
            self._processes = [WebProcess(self._listener) for _ in range(self._count)]
            for process in self._processes:
                process.until_ready(stop)
            logger.info("%d web server processes accept connections on port %d", self._count, self._listener.getsockname()[1])
            while not stop.wait(CHECK_SECONDS):
                self._replace_dead(stop)
                if self._restart:
                    self._restart_all(stop)
        finally:
            self._stop()

    def _request_restart(self, *_: object) -> None:
        self._restart = True

    def _replace_dead(self, stop: StopSignal) -> None:
        for place, process in enumerate(self._processes):
            if process.ended() is not None and time.monotonic() >= self._retry_at:
                logger.error("a web server process ended with status %s; another one is started", process.ended())
                if not self._replace(place, stop):
                    self._retry_at = time.monotonic() + RETRY_SECONDS

    def _restart_all(self, stop: StopSignal) -> None:
        """One after the other. If one cannot start, the others stay as they are."""
        self._restart = False
        all(self._replace(place, stop) for place in range(self._count))

    def _replace(self, place: int, stop: StopSignal) -> bool:
        """Stops a process once its successor accepts connections; False if the successor does not start."""
        try:
            successor = WebProcess(self._listener)
            successor.until_ready(stop)
        except (WebProcessError, OSError) as error:
            logger.error("a web server process cannot be replaced: %s", error)
            return False
        predecessor, self._processes[place] = self._processes[place], successor
        predecessor.stop(grace_s=STOP_SECONDS)
        return True

    def _stop(self) -> None:
        self._listener.close()
        for process in self._processes:
            process.ask_to_stop()
        for process in self._processes:
            process.stop(grace_s=STOP_SECONDS)
