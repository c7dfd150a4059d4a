"""The parent's side of the trainer process: hands it trainings, renews their leases, relays progress, stops it when it must."""

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, cast

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.utils import timezone

from forecasting import market, training_queue
from forecasting.models import PriceBar, Training
from forecasting.models.trainings import Outcome
from forecasting.pipeline.sources import BadDataError, PriceSourceError, UnknownSymbolError
from stockpred.processes import lifeline, parent_is_gone

RENEW_SECONDS = 15  # a quarter of the lease

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
        while not parent_is_gone() and time.monotonic() < ends and (training := _claim()):
            taken += 1
            if not train(training, trainer):
                break
    return taken


def _claim() -> Training | None:
    """The next training; the connection may have died during the last one."""
    close_old_connections()
    return training_queue.claim()


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
        logger.warning("given up: cancelled, or taken by another", extra={"symbol": training.subject, "training": training.pk})
    except (UnknownSymbolError, BadDataError) as refused:
        training_queue.fail(training, error=refused.reason)
    except PriceSourceError as unavailable:
        training_queue.retry(training, error=unavailable.reason)
    except TrainerEndedError as ended:
        training_queue.retry(training, error=str(ended))
    except (OperationalError, InterfaceError):
        trainer.stop()
        connection.close()  # a new one may be had; if not, the lease runs out and the training is rescued
        training_queue.retry(training, error="The database was out of reach during the training.")
    else:
        _end(training, outcome, error)
    return True


def _end(training: Training, outcome: Outcome, error: str) -> None:
    """What the trainer leaves to us: a published training has ended already, a refused one is no longer ours."""
    if outcome == Outcome.FAILED:
        training_queue.fail(training, error=error)
    elif outcome == Outcome.RETRY:
        training_queue.retry(training, error=error)


def _bring_prices(training: Training) -> None:
    """The newest bars first; where the price source is only out of reach, the stored ones will do. Raises PriceSourceError."""
    if training.symbol is None:
        return
    _keep(training_queue.report(training, stage="prices", fraction=0.0))
    try:
        market.sync(training.symbol, now=timezone.now())
    except (UnknownSymbolError, BadDataError):
        raise
    except PriceSourceError as error:
        if not PriceBar.objects.of(training.symbol).exists():
            raise
        logger.warning("training on the stored bars: %s", error, extra={"symbol": training.subject, "training": training.pk})


class TrainerProcess:
    """One trainer: started with the first training and again after it ended, stopped on leaving the context."""

    def __init__(self, watch: Callable[[Training, str, float], None] | None = None) -> None:
        """`watch` is called with every progress: training, stage, fraction done."""
        self._watch = watch
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._lifeline = lifeline()

    def __enter__(self) -> "TrainerProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def run(self, training: Training) -> tuple[Outcome, str]:
        """Has one training done; returns how it ended and why. The trainer has then done everything but end a failed row.

        Raises WorkerStoppingError, TrainingTakenError or TrainerEndedError; the trainer is then stopped.
        """
        try:
            process = self._send({"training": training.pk, "fence": training.fence})
            gives_up = time.monotonic() + settings.TRAIN_TIME_LIMIT
            while "outcome" not in (message := self._next_message(process, training, gives_up=gives_up)):
                _keep(training_queue.report(training, stage=message["stage"], fraction=message["fraction"]))
                if self._watch:
                    self._watch(training, message["stage"], message["fraction"])
        except (WorkerStoppingError, TrainingTakenError, TrainerEndedError):
            self.stop()
            raise
        return Outcome(message["outcome"]), message["error"]

    def stop(self) -> None:
        """Kills the trainer: whatever it has not published does not exist."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process, self._unread = None, b""

    def _send(self, request: dict[str, int]) -> "subprocess.Popen[bytes]":
        """Hands over a request, starting the trainer where none runs."""
        if self._process is None:
            command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "trainer"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        try:
            cast("IO[bytes]", self._process.stdin).write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise TrainerEndedError(_end_of(self._process)) from None
        return self._process

    def _next_message(self, process: "subprocess.Popen[bytes]", training: Training, *, gives_up: float) -> dict[str, Any]:
        """The trainer's next message; until it comes the lease is renewed and the time limit watched."""
        while b"\n" not in self._unread:
            left = gives_up - time.monotonic()
            if left <= 0:
                raise TrainerEndedError(f"The training took longer than {settings.TRAIN_TIME_LIMIT} s.")
            if data := self._read(process, min(RENEW_SECONDS, left)):
                self._unread += data
            else:
                _keep(training_queue.renew(training))
        line, self._unread = self._unread.split(b"\n", 1)
        return cast("dict[str, Any]", json.loads(line))

    def _read(self, process: "subprocess.Popen[bytes]", seconds: float) -> bytes | None:
        """What the trainer wrote; None when it wrote nothing in time. Raises TrainerEndedError or WorkerStoppingError."""
        output = cast("IO[bytes]", process.stdout).fileno()
        watched = [output] if self._lifeline is None else [output, self._lifeline]
        readable = select.select(watched, [], [], seconds)[0]
        if self._lifeline in readable:
            raise WorkerStoppingError
        if not readable:
            return None
        if not (data := os.read(output, 65_536)):
            raise TrainerEndedError(_end_of(process))
        return data


def _end_of(process: "subprocess.Popen[bytes]") -> str:
    """How the trainer's process ended, in words."""
    status = process.wait()
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}, see the log"
    return f"The trainer process ended: {how}."


def _keep(ours: bool) -> None:
    """The queue's answer to a renewal: raises TrainingTakenError where the training is no longer ours."""
    if not ours:
        raise TrainingTakenError
