"""The parent's side of the trainer process: hands it trainings, keeps their leases, relays progress, holds it to its limits."""

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

from forecasting import market, registry
from forecasting.models import PriceBar, Training
from forecasting.models.trainings import Outcome
from forecasting.prices.sources import BadDataError, PausedError, PriceSourceError, UnknownSymbolError
from forecasting.runtime import heartbeat
from forecasting.runtime.broker import LETTERBOX
from forecasting.runtime.processes import lifeline, parent_is_gone
from forecasting.training import queue as training_queue

THREADS = ("TRAIN_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # read when the libraries are loaded
LOOK_SECONDS = 1.0  # between two looks at the trainer's memory
DATABASE_LOST = "The database was out of reach for longer than the lease."

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class WorkerStoppingError(Exception):
    """The worker stops, or is gone."""


class TrainerEndedError(Exception):
    """The trainer died, hung or was stopped; the text says which."""


class TrainingTakenError(Exception):
    """The training was cancelled, or given to another trainer."""


def drain(*, seconds: float) -> int:
    """Trains what waits in the queue, taking nothing new after `seconds`; returns how many trainings it took."""
    taken = 0
    ends = time.monotonic() + seconds
    with TrainerProcess() as trainer:
        while not parent_is_gone() and time.monotonic() < ends and (training := claim()):
            taken += 1
            if not train(training, trainer):
                break
    return taken


def claim(*, among: list[int] | None = None) -> Training | None:
    """The next training, in the name of this task cluster or terminal; None where nothing is due or the worker stops."""
    close_old_connections()  # the database may have been restarted since the last training
    name = os.environ.get(LETTERBOX, f"terminal@{socket.gethostname()}")
    return _persist(lambda: training_queue.claim(by=name, among=among))


def train(training: Training, trainer: "TrainerProcess") -> bool:
    """One attempt: afterwards the row has ended or is back in the queue. False where the worker stops."""
    try:
        _bring_prices(training)
        outcome, error = trainer.run(training)
    except WorkerStoppingError:
        training_queue.release(training)
        return False
    except KeyboardInterrupt:
        training_queue.release(training)
        raise
    except TrainingTakenError:
        logger.warning("given up: cancelled, or taken by another", extra=training.log_fields)
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
        _end(training, Outcome.RETRY, "The database was out of reach.")
    else:
        _end(training, outcome, error)
    return True


def _end(training: Training, outcome: Outcome, error: str) -> None:
    """What the trainer leaves to us: a published training has ended already, a refused one is no longer ours."""
    if outcome == Outcome.FAILED:
        _persist(lambda: training_queue.fail(training, error=error))
    elif outcome == Outcome.RETRY:
        _persist(lambda: training_queue.retry(training, error=error))


def _persist(write: Callable[[], Answer]) -> Answer | None:
    """What `write` returns, once the database takes it; None where the worker stops before. The lease may end meanwhile."""
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            logger.warning("waiting for the database: %s", str(error).partition("\n")[0])
            connection.close()
        heartbeat.beat()
        if parent_is_gone(wait_s=LOOK_SECONDS):
            return None


def _bring_prices(training: Training) -> None:
    """The newest bars first; if they cannot be had, whatever the reason, the stored ones will do. Raises PriceSourceError."""
    if training.symbol is None:
        return
    _keep(training_queue.report(training, stage="prices", fraction=0.0))
    try:
        market.sync(training.symbol, now=timezone.now())
    except PriceSourceError as error:
        if not PriceBar.objects.of(training.symbol).exists():
            raise
        logger.warning("training on the stored bars: %s", error, extra=training.log_fields)


class TrainerProcess:
    """One trainer: started with the first training and again after it ended, stopped on leaving the context."""

    def __init__(self, watch: Callable[[Training, str, float], None] | None = None) -> None:
        """`watch` is called with every progress: training, stage, fraction done."""
        self._watch = watch
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._lifeline = lifeline()
        self._kept_at = 0.0

    def __enter__(self) -> "TrainerProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def run(self, training: Training) -> tuple[Outcome, str]:
        """Has one training done; returns how it ended and why. The trainer has then done everything but end a failed row.

        Raises WorkerStoppingError, TrainingTakenError or TrainerEndedError; the trainer is then stopped.
        """
        try:
            self._kept_at = time.monotonic()
            process = self._send({"training": training.pk, "fence": training.fence})
            gives_up = time.monotonic() + settings.TRAIN_TIME_LIMIT
            while "outcome" not in (message := self._next_message(process, training, gives_up=gives_up)):
                self._keep_lease(partial(training_queue.report, training, **message))
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
        """Hands over a request, starting the trainer where none runs."""
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
        """The trainer's next message; until it comes the lease is renewed and the limits are watched."""
        while b"\n" not in self._unread:
            left = gives_up - time.monotonic()
            if left <= 0:
                raise TrainerEndedError(f"The training took longer than {settings.TRAIN_TIME_LIMIT} s.")
            if resident_mb(process.pid) > settings.TRAIN_MEMORY_MB:
                raise TrainerEndedError(f"The trainer needed more than {settings.TRAIN_MEMORY_MB} MB of memory.")
            self._unread += self._read(process, min(LOOK_SECONDS, left))
            if time.monotonic() - self._kept_at > settings.LEASE_SECONDS / 4:
                self._keep_lease(partial(training_queue.renew, training))
        line, self._unread = self._unread.split(b"\n", 1)
        return cast("dict[str, Any]", json.loads(line))

    def _read(self, process: "subprocess.Popen[bytes]", seconds: float) -> bytes:
        """What the trainer wrote, nothing when it wrote nothing in time. Raises TrainerEndedError or WorkerStoppingError."""
        output = cast("IO[bytes]", process.stdout).fileno()
        watched = [output] if self._lifeline is None else [output, self._lifeline]
        readable = select.select(watched, [], [], seconds)[0]
        if self._lifeline in readable:
            raise WorkerStoppingError
        if not readable:
            return b""
        if not (data := os.read(output, 65_536)):
            raise TrainerEndedError(_end_of(process))
        return data

    def _keep_lease(self, extend: Callable[[], bool]) -> None:
        """Extends the lease. A database that is away for less than a lease costs nothing: the trainer needs it only at the end."""
        heartbeat.beat()
        try:
            _keep(extend())
            self._kept_at = time.monotonic()
        except (OperationalError, InterfaceError) as error:
            logger.warning("the lease is not extended: %s", str(error).partition("\n")[0])
            connection.close()
            if time.monotonic() - self._kept_at > settings.LEASE_SECONDS:
                raise TrainerEndedError(DATABASE_LOST) from error


def resident_mb(pid: int) -> int:
    """The memory that a process holds, in MB; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def _end_of(process: "subprocess.Popen[bytes]") -> str:
    """How the trainer's process ended, in words."""
    status = process.wait()
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}, see the log"
    return f"The trainer process ended: {how}."


def _keep(ours: bool) -> None:
    """The queue's answer to a renewal: raises TrainingTakenError where the training is no longer ours."""
    if not ours:
        raise TrainingTakenError
