"""`make bench` runs `python -m tests.page_bench`: milliseconds, queries and size of each page with 300,000 scored forecasts.

The first answer compiles templates and reads what a process remembers, such as records until there is a new score.

`python -m tests.page_bench SYMBOLS SESSIONS` takes other numbers: so many symbols, with so many forecasts each.
"""

import argparse
import statistics
import time

from rich.console import Console

from tests.bench_database import own_database

REPEATS = 5


def main() -> None:
    """Fills a database of its own, and prints one line per page."""
    parser = argparse.ArgumentParser(prog="python -m tests.page_bench", description=__doc__)
    parser.add_argument("symbols", nargs="?", type=int, default=1500)
    parser.add_argument("sessions", nargs="?", type=int, default=200)
    chosen = parser.parse_args()
    with own_database():
        measure(chosen.symbols, chosen.sessions)


def measure(symbols: int, sessions: int) -> None:
    """Fills the database, and asks for each page and list."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - Django must be set up first
    from django.db import connection  # noqa: PLC0415 - as above
    from django.test import Client  # noqa: PLC0415 - as above
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415 - as above

    from forecasting import summary  # noqa: PLC0415 - as above
    from tests import every_page, many_rows  # noqa: PLC0415 - as above

    client = Client(headers={"host": "localhost"})
    say = Console(highlight=False, soft_wrap=True).print
    client.force_login(User.objects.create_superuser("ana"), backend="django.contrib.auth.backends.ModelBackend")
    began = time.perf_counter()
    many_rows.fill(symbols=symbols, sessions=sessions)
    rows = f"{symbols:,} symbols, {symbols * sessions:,} scored forecasts"
    say(f"rows inserted ({rows}): {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    summary.refresh()
    say(f"figures for monitoring computed, as every five minutes: {time.perf_counter() - began:.1f} s")
    lists = [every_page.Page(f"API, {name}", f"/models/{name}") for name in ("symbols", "versions", "trainings", "forecasts")]
    for page in [*every_page.pages(), *lists]:
        seconds = []
        for _ in range(1 + REPEATS):
            began = time.perf_counter()
            answer = client.get(page.address)
            seconds.append(time.perf_counter() - began)
        with CaptureQueriesContext(connection) as queries:
            client.get(page.address)
        size = len(answer.content) / 1000
        first, usual = 1000 * seconds[0], 1000 * statistics.median(seconds[1:])
        say(f"{page.name:28} {usual:8.1f} ms {first:8.1f} ms at first {len(queries):4} queries {size:8.1f} kB")


if __name__ == "__main__":
    main()
