"""The part of `manage.py bench` that measures requests over HTTP: closed loops of several clients, and an open loop."""

import http.client
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.utils import timezone

from forecasting.prices.calendars import last_completed_session
from forecasting.prices.simulation import Simulation
from forecasting.runtime.private_service import PrivateService

CLIENTS = 8
CALLERS = 50  # addresses in turn, so that no single budget is the bottleneck; budgets are counted as in production
LOAD_SECONDS = 5.0  # for each route
OPEN_RATE = 100  # requests per second, whether or not earlier ones have been answered
OPEN_SECONDS = 10
OPEN_CLIENTS = 32  # enough that a request never waits for a free client as long as answers take less than 0.3 s
RETRAIN_EVERY_S = 0.05  # less than a training takes
TRAINING_SECONDS = 120

SYMBOLS_PER_REQUEST = 3
TOO_SHORT_TO_TRAIN = 300  # bars: enough for a forecast of the base
SHORT = [f"SHORT{number}" for number in range(1, SYMBOLS_PER_REQUEST + 1)]
LISTS = ("symbols", "versions", "trainings", "forecasts")

Say = Callable[[str, float, str], None]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is sent again and again."""

    method: str
    path: str
    symbols: Sequence[str] = ()

    @property
    def body(self) -> str | None:
        """The JSON body."""
        return json.dumps({"symbols": list(self.symbols)}) if self.symbols else None


def measure_web(service: PrivateService, tickers: Sequence[str], *, say: Say) -> None:
    """Measures each route with CLIENTS clients, then predict while trainings run. `tickers` have their own versions.

    The service must limit neither requests nor retrainings.
    """
    own = tickers[:SYMBOLS_PER_REQUEST]
    prepare_short_histories(service)
    floor = measured(service, Call("GET", "/health"), say=say)
    predict = measured(service, Call("POST", "/models/predict", own), "own versions", say=say)
    base = measured(service, Call("POST", "/models/predict", SHORT), "served by the base", say=say)
    say("predict relative to health", predict / floor, "")
    say("predict by the base relative to own versions", base / predict, "")
    for route in ("check", "metrics"):
        measured(service, Call("POST", f"/models/{route}", own), say=say)
    for name in LISTS:
        measured(service, Call("GET", f"/models/{name}"), say=say)
    measure_open_loop(service, tickers, say=say)


def prepare_short_histories(service: PrivateService) -> None:
    """Imports histories that the base can forecast from and no training can use, and waits until their trainings have failed."""
    last = last_completed_session("XNYS", now=timezone.now())
    with tempfile.TemporaryDirectory() as folder:
        for seed, ticker in enumerate(SHORT):
            bars = Simulation(seed=seed).fetch("SAMPLE1", since=None, through=last).bars
            bars.tail(TOO_SHORT_TO_TRAIN).to_csv(Path(folder) / f"{ticker}.csv")
        service.manage("import_prices", folder)
    service.post("predict", symbols=SHORT)
    service.until("the trainings of short histories", lambda: all_refused(service), seconds=TRAINING_SECONDS)


def all_refused(service: PrivateService) -> bool:
    """Whether no training of the short histories waits or runs any more."""
    return not any(answer["training"] for answer in service.post("check", symbols=SHORT))


def measured(service: PrivateService, call: Call, what: str = "", *, say: Say) -> float:
    """Prints and returns the requests per second of CLIENTS clients with one connection each."""
    counts = [0] * CLIENTS
    ends = time.perf_counter() + LOAD_SECONDS

    def load(client: int) -> None:
        with Connection(service, client) as connection:
            while time.perf_counter() < ends:
                connection.send(call)
                counts[client] += 1

    in_threads(load, CLIENTS)
    rate = sum(counts) / LOAD_SECONDS
    symbols = f", {len(call.symbols)} symbols" if call.symbols else ""
    say(f"{call.method} {call.path}{symbols}" + (f", {what}" if what else ""), rate, "requests/s")
    return rate


def measure_open_loop(service: PrivateService, tickers: Sequence[str], *, say: Say) -> None:
    """Sends predict OPEN_RATE times a second while trainings run; prints the times from the planned start to the answer."""
    earlier = trainings(service, "succeeded")
    with trainer_kept_busy(service, tickers):
        service.until("a training", lambda: trainings(service, "succeeded") > earlier, seconds=TRAINING_SECONDS)
        ended = trainings(service, "succeeded")
        times = open_loop(service, Call("POST", "/models/predict", tickers[:SYMBOLS_PER_REQUEST]))
        ended = trainings(service, "succeeded") - ended
    say(f"predict at {OPEN_RATE} requests/s while the trainer is busy, median", 1000 * float(np.median(times)), "ms")
    say("the same, 99th percentile", 1000 * float(np.quantile(times, 0.99)), "ms")
    say("the same, trainings meanwhile", ended, "")
    service.until("the last trainings", lambda: not trainings(service, "queued,running"), seconds=TRAINING_SECONDS)


def open_loop(service: PrivateService, call: Call) -> list[float]:
    """Seconds from the planned start of each request to its answer."""
    numbers, times = itertools.count(), []
    starts = time.perf_counter() + 0.1

    def load(client: int) -> None:
        with Connection(service, client) as connection:
            while (number := next(numbers)) < OPEN_RATE * OPEN_SECONDS:
                planned = starts + number / OPEN_RATE
                time.sleep(max(0.0, planned - time.perf_counter()))
                connection.send(call)
                times.append(time.perf_counter() - planned)

    in_threads(load, OPEN_CLIENTS)
    return times


@contextmanager
def trainer_kept_busy(service: PrivateService, tickers: Sequence[str]) -> Iterator[None]:
    """Asks for trainings of these symbols in turn, so that the queue is never empty: one training takes a fraction of a second."""
    over = threading.Event()

    def ask() -> None:
        for ticker in itertools.cycle(tickers):
            if over.wait(RETRAIN_EVERY_S):
                return
            service.post("retrain", symbol=ticker)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            over.set()
    asking.result()


def trainings(service: PrivateService, states: str) -> int:
    """How many trainings are in one of these states."""
    return sum(int(service.get(f"trainings?page_size=1&state={state}")["count"]) for state in states.split(","))


class Connection:
    """One client's connection. Any status but 200 is an error."""

    def __init__(self, service: PrivateService, client: int) -> None:
        self._service = service
        self._callers = itertools.count(client)
        self._http = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, call: Call) -> None:
        """Sends the request and reads the answer. Raises ServiceError."""
        caller = f"10.0.0.{next(self._callers) % CALLERS}"
        self._http.request(call.method, call.path, call.body, {"Content-Type": "application/json", "X-Forwarded-For": caller})
        response = self._http.getresponse()
        text = response.read()
        if response.status != http.client.OK:
            raise self._service.error(f"{call.method} {call.path} answered {text.decode(errors='replace')}")


def in_threads(work: Callable[[int], None], count: int) -> None:
    """Runs `work(0)`, `work(1)` and so on in threads of their own; raises the first error."""
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work, number) for number in range(count)]:
            future.result()
