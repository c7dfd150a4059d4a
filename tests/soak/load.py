"""A modest steady load, sent at its planned times whether or not earlier requests have been answered."""

import http.client
import itertools
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.attack.honest import ADDRESSES
from tests.attack.target import Target
from tests.soak.prices import ALL, COINS, NEW, OWN, SHORT

METRICS_KEY = "the-key-of-the-soak"
RATE = 15  # requests per second
CLIENTS = 16
AUTHORIZED = {"Authorization": f"Bearer {METRICS_KEY}"}
NEW_EVERY, UNKNOWN_EVERY, RETRAIN_EVERY, FIRST = 60, 20, 45, 5  # seconds


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request, and how many of RATE x 10 are of this kind. `{own}` in a path is one of the trained symbols."""

    kind: str
    path: str
    share: int = 0
    symbols: Sequence[str] = ()


STEADY = (
    Call("predict, own versions", "/models/predict", 40, OWN),
    Call("predict, base", "/models/predict", 15, SHORT),
    Call("predict, live", "/models/predict", 20, COINS),
    Call("check", "/models/check", 10, OWN),
    Call("metrics of models", "/models/metrics", 10, OWN),
    Call("chart", "/models/symbols/{own}/chart", 5),
    *(Call("lists", f"/models/{name}", 3) for name in ("symbols", "versions", "trainings", "forecasts")),
    Call("lists as CSV", "/models/forecasts?format=csv&symbol={own}", 3),
    Call("front page", "/", 10),
    Call("symbol page", "/s/{own}", 15),
    Call("/metrics", "/metrics", 3),
    Call("/health/ready", "/health/ready", 7),
)


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer. Status 0: none came. `at`: its planned time in seconds since the begin."""

    at: float
    kind: str
    milliseconds: float
    status: int
    problem: str = ""


@dataclass
class Load:
    """What was answered so far."""

    target: Target
    serving: Sequence[str] = ALL  # only about these symbols, besides new ones
    seed: int = 42
    answered: list[Answered] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sends requests during the block."""
        stop = threading.Event()
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            sender = pool.submit(self._send, stop, pool)
            try:
                yield
            finally:
                stop.set()
        sender.result()

    def _send(self, stop: threading.Event, pool: ThreadPoolExecutor) -> None:
        chosen, addresses = random.Random(self.seed), itertools.cycle(ADDRESSES)
        own = [symbol for symbol in OWN if symbol in self.serving]
        rare = _rare([symbol for symbol in self.serving if symbol not in SHORT])
        upcoming = next(rare)
        for number in itertools.count():
            at = number / RATE
            if stop.wait(max(0.0, self.began + at - time.monotonic())):
                return
            if upcoming[0] <= at:
                pool.submit(self._ask, at, upcoming[1], upcoming[2], next(addresses))
                upcoming = next(rare)
            (call,) = chosen.choices(STEADY, [each.share for each in STEADY])
            symbols = [symbol for symbol in call.symbols if symbol in self.serving]
            body = {"symbols": chosen.sample(symbols, min(3, len(symbols)))} if symbols else None
            path = call.path.format(own=chosen.choice(own))
            pool.submit(self._ask, at, Call(call.kind, path), body, next(addresses))

    def _ask(self, at: float, call: Call, body: dict[str, Any] | None, address: str) -> None:
        status, problem = 0, ""
        try:
            answer = self.target.ask("POST" if body else "GET", call.path, body, by=address, headers=AUTHORIZED)
            status = answer.status
            problem = _failed(answer.json) if status == http.client.OK and call.path == "/models/predict" else ""
            if status >= http.client.BAD_REQUEST:
                problem = answer.body[:200].decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            problem = f"{type(error).__name__}: {error}"
        milliseconds = 1000 * (time.monotonic() - self.began - at)
        self.answered.append(Answered(at, call.kind, milliseconds, status, problem))


def _failed(answer: Any) -> str:
    """The forecasts that are missing in an answer of `predict`."""
    return "; ".join(f"{name}: {each}" for name, each in answer["predictions"].items() if each["status"] != "success")


def _rare(trained: Sequence[str]) -> Iterator[tuple[float, Call, dict[str, Any]]]:
    """Second, kind and body of requests that make work: new names, unknown names, retrainings. Endless, in order of time."""
    names, again = itertools.cycle(NEW), itertools.cycle(trained)
    for second in itertools.count(FIRST, step=FIRST):
        if second % NEW_EVERY == FIRST:
            yield second, Call("check, new symbol", "/models/check"), {"symbols": [next(names)]}
        if second % UNKNOWN_EVERY == FIRST:
            yield second, Call("check, unknown name", "/models/check"), {"symbols": [f"NONE{second}"]}
        if second % RETRAIN_EVERY == FIRST:
            yield second, Call("retrain", "/models/retrain"), {"symbol": next(again)}
