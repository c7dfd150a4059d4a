"""Attacks that occupy the server: clients that send slowly, wait long, or read slowly."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from forecasting.models import Symbol, Training
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.runtime.processes import wait_for
from forecasting.runtime.web_server import READ_SECONDS
from tests.attack.target import ATTACKER, Answer, Target, each

HEAD = b"POST /models/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BEGINNINGS = {"header": HEAD, "body": HEAD + b"Content-Length: 1000\r\n\r\n", "idle": b""}
WEB_PROCESSES = 2  # each of them lets one client wait
WAIT_SECONDS = 25  # less than the clients would wait
CSV_ROWS, ROW_BYTES = 4000, 10_000  # 40 MB: more than server and sockets buffer


def slow_clients(target: Target, count: int) -> list[str]:
    """Case 1: connections whose headers or bodies come byte by byte, or which send nothing."""
    seconds = 1.5 * READ_SECONDS if not target.short else 1.0
    with ExitStack() as stack:
        clients = {kind: [stack.enter_context(target.connect()) for _ in range(count // 3)] for kind in BEGINNINGS}
        for kind, sockets in clients.items():
            for client in sockets:
                client.sendall(BEGINNINGS[kind])
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            _trickle([*clients["header"], *clients["body"]])
            time.sleep(0.5)
        ended = [] if target.short else [_answer(client) for kind in ("header", "body") for client in clients[kind]]
    late = [answer for answer in ended if b" 408 " not in answer or b'{"error"' not in answer]
    return [f"{len(late)} of {len(ended)} slow requests did not get 408 as JSON"] if late else []


def _trickle(clients: list[socket.socket]) -> None:
    for client in clients:
        try:
            client.send(b"a")
        except OSError:
            continue  # the server has closed it


def _answer(client: socket.socket) -> bytes:
    client.settimeout(READ_SECONDS)
    try:
        return client.recv(4096)
    except OSError:
        return b""


def slow_readers(target: Target, count: int) -> list[str]:
    """Case 10: clients that wait for a training, and clients that ask for a large CSV file and do not read it."""
    files = count // 2
    with _training_that_waits() as training, _unread_files(target, files) as beginnings:
        answers = _waiting(target, training, count)
        if not target.short:
            time.sleep(READ_SECONDS)
    told = [answer for answer in answers if answer.headers["Retry-After"]]
    refused = [beginning for beginning in beginnings if b" 503 " in beginning]
    problems = [f"waiting was answered {answer.status}" for answer in answers if answer.status != 200]
    if len(told) < count - WEB_PROCESSES:
        problems.append(f"{count - len(told)} clients occupied a thread to wait")
    if len(refused) < files - WEB_PROCESSES:
        problems.append(f"{files - len(refused)} files occupied a thread")
    return problems


def _waiting(target: Target, training: Training, count: int) -> list[Answer]:
    """The answers to clients that wait for the training. It ends when all others have been answered."""
    with ThreadPoolExecutor(count) as threads:
        path = f"/models/trainings/{training.pk}?wait=30"
        futures = [threads.submit(target.ask, "GET", path) for _ in range(count)]
        wait_for(lambda: sum(future.done() for future in futures) >= count - WEB_PROCESSES, seconds=WAIT_SECONDS)
        Training.objects.filter(pk=training.pk).update(state=TrainingState.CANCELLED, finished_at=Now())
        return [future.result() for future in futures]


@contextmanager
def _training_that_waits() -> Iterator[Training]:
    """A queued training that no worker takes, and many ended ones with long errors."""
    (symbol,) = Symbol.objects.all().ensure(["AWAITED"])
    why: dict[str, Any] = {"symbol": symbol, "reason": TrainingReason.TOO_OLD, "priority": 10}
    ended = why | {"state": TrainingState.FAILED, "finished_at": Now(), "error": "x" * ROW_BYTES}
    Training.objects.bulk_create([Training(**ended) for _ in range(CSV_ROWS)], batch_size=200)
    training = Training.objects.create(**why, not_before=Now() + timedelta(days=1))
    try:
        yield training
    finally:
        Training.objects.filter(symbol=symbol).delete()


@contextmanager
def _unread_files(target: Target, count: int) -> Iterator[list[bytes]]:
    """The beginnings of the answers. The rest is not read."""
    request = b"GET /models/trainings?format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:

        def begin(_: int) -> bytes:
            client = stack.enter_context(target.connect(ATTACKER))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(request)
            return client.recv(64)

        yield each(begin, range(count), at_once=count)
