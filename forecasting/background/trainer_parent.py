"""The trainer's parent: hands it trainings, renews their leases, relays progress, enforces time and memory limits."""

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar, cast

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.utils import timezone

from forecasting import market, registry, tracing
from forecasting.models import PriceBar, Training
from forecasting.models.trainings import Outcome
from forecasting.prices.sources import BadDataError, PausedError, PriceSourceError, UnknownSymbolError
from forecasting.runtime import heartbeat
from forecasting.runtime.broker import OWN_QUEUE
from forecasting.runtime.processes import stop_pipe, stop_requested
from forecasting.training import queue as training_queue

THREADS = ("TRAIN_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # the libraries read them at import
SYNC_SHARE = 2 / 3  # of the lease: the longest sync before a training, because a sync does not renew the lease
CHECK_SECONDS = 1.0  # between two checks of the trainer's memory
DATABASE_LOST = "The database was unreachable for longer than the lease."

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class WorkerStoppingError(Exception):
    """The worker stops or has died."""


class TrainerEndedError(Exception):
    """The trainer died, or was stopped because it hit a limit; the message says which."""


class TrainingTakenError(Exception):
    """The training was cancelled, or another trainer claimed it."""


def drain(*, seconds: float) -> int:
    """Runs the waiting trainings, but claims none after `seconds`; returns how many it claimed."""
    taken = 0
    ends = time.monotonic() + seconds
    with TrainerProcess() as trainer:
        while not stop_requested() and time.monotonic() < ends and (training := claim()):
            taken += 1
            with tracing.work_for(training.request_id):
                if not train(training, trainer):
                    break
    return taken


def claim(*, among: list[int] | None = None) -> Training | None:
    """Claims the next training for this task cluster or terminal; None if nothing is due or the worker stops."""
    close_old_connections()  # the database may have been restarted since the last training
    name = os.environ.get(OWN_QUEUE, f"terminal@{socket.gethostname()}")
    return _persist(lambda: training_queue.claim(by=name, among=among))


def train(training: Training, trainer: "TrainerProcess") -> bool:
    """Makes one attempt. Afterwards the training has ended or is back in the queue. False if the worker stops."""
    try:
        _sync_prices(training)
        outcome, error = trainer.run(training)
    except WorkerStoppingError:
        training_queue.release(training)
        return False
    except KeyboardInterrupt:
        training_queue.release(training)
        raise
    except TrainingTakenError:
        logger.warning("training abandoned: it was cancelled, or another trainer claimed it", extra=training.log_fields)
    except PausedError as paused:
        _persist(partial(training_queue.postpone, training, until=paused.until, error=paused.reason))
    except (UnknownSymbolError, BadDataError) as refused:
        _end(training, Outcome.FAILED, refused.reason)
    except PriceSourceError as unavailable:
        _end(training, Outcome.RETRY, unavailable.reason)
    except TrainerEndedError as ended:
        _end(training, Outcome.RETRY, str(ended))
    except (OperationalError, InterfaceError):
        connection.close()
        _end(training, Outcome.RETRY, "The database was unreachable.")
    else:
        _end(training, outcome, error)
    return True


def _end(training: Training, outcome: Outcome, error: str) -> None:
    """Records a failure. Nothing to record otherwise: a published training has ended, a refused one is no longer ours."""
    if outcome == Outcome.FAILED:
        _persist(lambda: training_queue.fail(training, error=error))
    elif outcome == Outcome.RETRY:
        _persist(lambda: training_queue.retry(training, error=error))


def _persist(write: Callable[[], Answer]) -> Answer | None:
    """Repeats `write` until the database accepts it; None if the worker stops first. The lease may expire meanwhile."""
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            logger.warning("waiting for the database, which is unreachable: %s", str(error).partition("\n")[0])
            connection.close()
        heartbeat.beat()
        if stop_requested(wait_s=CHECK_SECONDS):
            return None


def _sync_prices(training: Training) -> None:
    """Syncs the bars. If that fails but older bars are stored, those are used. Raises PriceSourceError if there are none."""
    if training.symbol is None:
        return
    _require(training_queue.report(training, stage="prices", fraction=0.0))
    try:
        market.sync(training.symbol, now=timezone.now(), seconds=min(market.SYNC_SECONDS, SYNC_SHARE * settings.LEASE_SECONDS))
    except PriceSourceError as error:
        if not PriceBar.objects.of(training.symbol).exists():
            raise
        logger.warning("sync failed, training on the stored bars: %s", error, extra=training.log_fields)


class TrainerProcess:
    """One trainer process: started with the first training, restarted if it has ended, stopped on leaving the context."""

    def __init__(self, watch: Callable[[Training, str, float], None] | None = None) -> None:
        """`watch` is called with each progress message: training, stage, fraction done."""
        self._watch = watch
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._stop_pipe = stop_pipe()
        self._lease_extended_at = 0.0

    def __enter__(self) -> "TrainerProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def run(self, training: Training) -> tuple[Outcome, str]:
        """Runs one training; returns the outcome and the error. A failure still has to be recorded.

        Raises WorkerStoppingError, TrainingTakenError or TrainerEndedError, after stopping the trainer.
        """
        try:
            self._lease_extended_at = time.monotonic()
            process = self._send({"training": training.pk, "fence": training.fence})
            gives_up = time.monotonic() + settings.TRAIN_TIME_LIMIT
            while "outcome" not in (message := self._next_message(process, training, gives_up=gives_up)):
                self._extend_lease(training, partial(training_queue.report, training, **message))
                if self._watch:
                    self._watch(training, message["stage"], message["fraction"])
        except (WorkerStoppingError, TrainingTakenError, TrainerEndedError):
            self.stop()
            raise
        return Outcome(message["outcome"]), message["error"]

    def stop(self) -> None:
        """Kills the trainer and removes what it was writing: whatever it has not published does not exist."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            registry.remove_scratch(pid=self._process.pid)
            self._process, self._unread = None, b""

    def _send(self, request: dict[str, int]) -> "subprocess.Popen[bytes]":
        """Sends a request; starts the trainer first if none runs."""
        if self._process is None:
            command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "trainer"]
            env = os.environ | dict.fromkeys(THREADS, str(settings.TRAIN_THREADS))
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=env)
        try:
            cast("IO[bytes]", self._process.stdin).write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise TrainerEndedError(_end_of(self._process)) from None
        return self._process

    def _next_message(self, process: "subprocess.Popen[bytes]", training: Training, *, gives_up: float) -> dict[str, Any]:
        """Waits for the trainer's next message; meanwhile renews the lease and enforces the limits."""
        while b"\n" not in self._unread:
            left = gives_up - time.monotonic()
            if left <= 0:
                raise TrainerEndedError(f"The training took longer than {settings.TRAIN_TIME_LIMIT} s.")
            if resident_mb(process.pid) > settings.TRAIN_MEMORY_MB:
                raise TrainerEndedError(f"The trainer needed more than {settings.TRAIN_MEMORY_MB} MB of memory.")
            self._unread += self._read(process, min(CHECK_SECONDS, left))
            if time.monotonic() - self._lease_extended_at > settings.LEASE_SECONDS / 4:
                self._extend_lease(training, partial(training_queue.renew, training))
        line, self._unread = self._unread.split(b"\n", 1)
        return cast("dict[str, Any]", json.loads(line))

    def _read(self, process: "subprocess.Popen[bytes]", seconds: float) -> bytes:
        """What the trainer wrote within `seconds`, if anything. Raises TrainerEndedError or WorkerStoppingError."""
        output = cast("IO[bytes]", process.stdout).fileno()
        watched = [output] if self._stop_pipe is None else [output, self._stop_pipe]
        readable = select.select(watched, [], [], seconds)[0]
        if self._stop_pipe in readable:
            raise WorkerStoppingError
        if not readable:
            return b""
        if not (data := os.read(output, 65_536)):
            raise TrainerEndedError(_end_of(process))
        return data

    def _extend_lease(self, training: Training, extend: Callable[[], bool]) -> None:
        """Extends the lease. An outage of the database shorter than the lease is harmless: it is needed only to publish."""
        heartbeat.beat()
        try:
            _require(extend() or training_queue.is_published(training))  # the trainer has yet to say so
            self._lease_extended_at = time.monotonic()
        except (OperationalError, InterfaceError) as error:
            logger.warning("cannot extend the lease, the database is unreachable: %s", str(error).partition("\n")[0])
            connection.close()
            if time.monotonic() - self._lease_extended_at > settings.LEASE_SECONDS:
                raise TrainerEndedError(DATABASE_LOST) from error


def resident_mb(pid: int) -> int:
    """Resident memory of a process in MB; 0 if the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def _end_of(process: "subprocess.Popen[bytes]") -> str:
    """How the trainer process ended, as a sentence."""
    status = process.wait()
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}, see the log"
    return f"The trainer process ended: {how}."


def _require(ours: bool) -> None:
    """Raises TrainingTakenError if the training is no longer ours."""
    if not ours:
        raise TrainingTakenError
