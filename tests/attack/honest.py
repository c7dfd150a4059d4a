"""`python -m tests.attack.honest PORT SYMBOL...`: an honest client, in its own process, until its standard input ends.

It asks for `predict` and for `/health` in turn, from many addresses. Then it prints what it felt as JSON.
"""

import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

ADDRESSES = [f"127.7.0.{number}" for number in range(1, 101)]  # so many that a budget of 300 a minute is never spent
PAUSE_SECONDS = 0.05
PREDICT, HEALTH = "predict", "health"
STOP_SECONDS = 90


@dataclass
class Felt:
    """Milliseconds of each answer by route, and descriptions of requests that were not answered well."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: {PREDICT: [], HEALTH: []})
    failures: list[str] = field(default_factory=list)

    def percentile(self, route: str, percent: int) -> float:
        """Of the route's milliseconds, the nearest rank."""
        ordered = sorted(self.milliseconds[route])
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


@contextmanager
def honest_client(port: int, symbols: Sequence[str]) -> Iterator[Felt]:
    """Asks during the block; afterwards, the result is complete."""
    command = [sys.executable, "-m", "tests.attack.honest", str(port), *symbols]
    felt = Felt()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield felt
        finally:
            output, _ = process.communicate(timeout=STOP_SECONDS)
        felt.milliseconds, felt.failures = json.loads(output)


def main(port: int, symbols: Sequence[str]) -> None:
    """Prints a list of milliseconds for each route, and the failures."""
    felt, stop = Felt(), threading.Event()
    threads = [threading.Thread(target=_ask_until, args=(stop, route, port, symbols, felt)) for route in (PREDICT, HEALTH)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps([felt.milliseconds, felt.failures]))  # noqa: T201 - read by the parent


def _ask_until(stop: threading.Event, route: str, port: int, symbols: Sequence[str], felt: Felt) -> None:
    for address in itertools.cycle(ADDRESSES):
        began = time.monotonic()
        try:
            problem = _problem(route, port, address, symbols)
        except (OSError, http.client.HTTPException) as error:
            problem = f"{type(error).__name__}: {error}"
        felt.milliseconds[route].append(1000 * (time.monotonic() - began))
        if problem:
            felt.failures.append(f"{route}: {problem}")
        if stop.wait(PAUSE_SECONDS):
            return


def _problem(route: str, port: int, address: str, symbols: Sequence[str]) -> str:
    """What is wrong with the answer; empty if all symbols have a forecast."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(address, 0))
    try:
        if route == HEALTH:
            connection.request("GET", "/health")
        else:
            body = json.dumps({"symbols": list(symbols)})
            connection.request("POST", "/models/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        return f"answer {response.status}: {text[:200]!r}"
    predictions = json.loads(text).get("predictions", {})
    states = {symbol: forecast["status"] for symbol, forecast in predictions.items()}
    return "" if route == HEALTH or states == dict.fromkeys(symbols, "success") else str(states)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
