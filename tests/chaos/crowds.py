"""Concurrency: clients that ask for the same symbols, machines that share one queue."""

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from forecasting.models import Symbol, Training
from forecasting.models.trainings import TrainingState
from tests.chaos.site import POLL_SECONDS, TICKERS, Site

CLIENTS, SYMBOLS = 64, 20
IDLE_SECONDS = 5.0
STATES = """
    SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running') FROM forecasting_training
"""


def same_symbols(site: Site, count: int) -> None:
    """Case 14: 64 clients ask for the same 20 symbols at once."""
    with site.web() as web:
        for number in range(count):
            tickers = list(TICKERS[SYMBOLS * number % 100 :][:SYMBOLS])
            Symbol.objects.all().ensure(tickers)  # they are known, so nobody waits for the price source
            Training.objects.filter(symbol__ticker__in=tickers).delete()

            together = threading.Barrier(CLIENTS)

            def ask(wanted: list[str] = tickers, start: threading.Barrier = together) -> tuple[int, frozenset[int]]:
                start.wait(60)
                status, _, answers = web.ask("POST", "/models/check", symbols=wanted)
                return status, frozenset(each["training"]["id"] for each in answers) if status == http.client.OK else frozenset()

            began = time.monotonic()
            with ThreadPoolExecutor(CLIENTS) as threads:
                answers = list(threads.map(lambda _: ask(), range(CLIENTS)))
            took = time.monotonic() - began
            site.note("64 clients were answered", took, 60)
            made = frozenset(Training.objects.filter(symbol__ticker__in=tickers).values_list("pk", flat=True))
            site.accepted |= made
            site.expect(len(made) == SYMBOLS, f"{len(made)} trainings were made for {SYMBOLS} symbols")
            site.expect(set(answers) == {(http.client.OK, made)}, f"the answers differ: {set(answers)}")


def shared_queue(site: Site, count: int) -> None:
    """Case 15: two workers share `count` trainings. Each training runs once, and no worker is idle while trainings wait."""
    with site.worker("one"), site.worker("two"):
        for name in ("one", "two"):
            site.until_clusters_run(name=name)
        stop = threading.Event()
        longest: list[float] = [0.0]
        watch = threading.Thread(target=_longest_idleness, args=[stop, longest])
        watch.start()
        site.request(TICKERS[:count])
        began = time.monotonic()
        site.settle()
        stop.set()
        watch.join()
    took = time.monotonic() - began
    again = site.rows().exclude(state=TrainingState.SUCCEEDED, attempts=1)
    site.expect(not again.exists(), f"not done exactly once: {list(again.values('state', 'attempts', 'error'))}")
    site.note(f"{count} trainings by two workers", took, 20 + 5 * count)
    site.note("longest time that a worker was idle while trainings waited", longest[0], IDLE_SECONDS)


def _longest_idleness(stop: threading.Event, longest: list[float]) -> None:
    """Records the longest time for which trainings waited and fewer than two ran."""
    since: float | None = None
    while not stop.wait(POLL_SECONDS):
        with connection.cursor() as cursor:
            cursor.execute(STATES)
            waiting, running = cursor.fetchone()
        if not waiting or running >= 2:
            since = None
        else:
            since = since or time.monotonic()
            longest[0] = max(longest[0], time.monotonic() - since)
    connection.close()
