"""`python -m tests.bars_bench [--symbols 10000 --sessions 3000]`: the table of bars at 30 million rows, as it is and partitioned.

Prints how fast rows are added, the sizes, the milliseconds of what the service does with the table, and what Postgres says of three
statements. Needs 12 GB of disk. Of each symbol the last year came day by day, as from daily jobs: such rows lie far from each other
on the disk.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from rich.console import Console

from tests.bench_database import own_database

REPEATS = 7
DAILY = 250  # sessions
BATCH = 500  # symbols
LAYOUTS = {
    "BRIN index on date": ["CREATE INDEX bars_by_date ON forecasting_pricebar USING brin (date)"],
    "16 partitions by hash of the symbol": [
        "ALTER TABLE forecasting_pricebar RENAME TO plain",
        "CREATE TABLE forecasting_pricebar (LIKE plain INCLUDING IDENTITY INCLUDING CONSTRAINTS) PARTITION BY HASH (symbol_id)",
        *(
            f"CREATE TABLE bars_{number} PARTITION OF forecasting_pricebar FOR VALUES WITH (MODULUS 16, REMAINDER {number})"
            for number in range(16)
        ),
    ],
    "a partition for each year": [
        "CREATE TABLE forecasting_pricebar (LIKE plain INCLUDING IDENTITY INCLUDING CONSTRAINTS) PARTITION BY RANGE (date)",
        *(
            f"CREATE TABLE bars_{year} PARTITION OF forecasting_pricebar FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
            for year in range(2000, 2041)
        ),
    ],
}
INSERT = """
    INSERT INTO forecasting_pricebar (symbol_id, date, open, high, low, close, volume)
    SELECT symbol, date, 100, 102, 98, 100 + (symbol + day) %% 7 * 0.2, 1e6 + day * 37 %% 1000
    FROM unnest(%s::bigint[]) AS symbol, (SELECT date, date - '2000-01-01' AS day FROM unnest(%s::date[]) AS date) AS session
    ORDER BY {order}
"""
OF_ALL = """
    INSERT INTO forecasting_pricebar (symbol_id, date, open, high, low, close, volume)
    SELECT id, %s, 1, 1, 1, 1, 1 FROM forecasting_symbol
"""
# Nothing in the service asks for all bars of a day: only for this could an index on the date help.
EXPLAINED = {
    "the last 81 bars of a symbol": "symbol_id = 77 ORDER BY date DESC LIMIT 81",
    "a symbol's bars since a date": "symbol_id = 77 AND date >= current_date - 365",
    "all bars of a date": "date = (SELECT max(date) FROM forecasting_pricebar WHERE symbol_id = 77)",
}
SIZES = "SELECT sum({what}(oid))::float FROM pg_class WHERE relkind = 'r' AND relname ~ '^(forecasting_pricebar|bars_[0-9]+)$'"

say = Console(highlight=False, width=160).print


def main() -> None:
    """Makes a database of its own, and removes it in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.bars_bench", description=__doc__)
    parser.add_argument("--symbols", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=3000)
    chosen = parser.parse_args()
    with own_database():
        _measure(chosen.symbols, chosen.sessions)


def _measure(symbols: int, sessions: int) -> None:
    from forecasting.models import Symbol  # noqa: PLC0415 - Django must be set up first

    Symbol.objects.bulk_create(Symbol(ticker=f"MANY{number}", exchange="XNYS", currency="USD") for number in range(symbols))
    _fill(sessions)
    _execute("VACUUM ANALYZE forecasting_pricebar")
    _tell("as it is")
    for layout, statements in LAYOUTS.items():
        began = time.perf_counter()
        if partitioned := "PARTITION" in "".join(statements):
            _execute("DROP TABLE IF EXISTS forecasting_pricebar CASCADE" if "RENAME" not in statements[0] else "SELECT 1")
        for statement in statements:
            _execute(statement)
        if partitioned:
            _execute("INSERT INTO forecasting_pricebar SELECT * FROM plain ORDER BY id")
            _execute("CREATE UNIQUE INDEX ON forecasting_pricebar (symbol_id, date)")
        _execute("VACUUM ANALYZE forecasting_pricebar")
        say(f"{layout}: made in {time.perf_counter() - began:.0f} s")
        _tell(layout)
        if not partitioned:
            _execute("DROP INDEX bars_by_date")


def _fill(sessions: int) -> None:
    """Histories symbol by symbol, then the last year day by day."""
    from django.db import connection  # noqa: PLC0415 - Django must be set up first

    from forecasting.models import Symbol  # noqa: PLC0415 - as above
    from forecasting.prices.calendars import session_days  # noqa: PLC0415 - as above

    today = date.today()  # noqa: DTZ011 - any date would do
    dates = session_days("XNYS", first=today - timedelta(days=int(sessions * 1.5) + 30), last=today).tolist()[-sessions:]
    keys = list(Symbol.objects.order_by("pk").values_list("pk", flat=True))
    for what, order, parts in (
        ("histories", "symbol, date", [(keys[at : at + BATCH], dates[:-DAILY]) for at in range(0, len(keys), BATCH)]),
        ("days", "date, symbol", [(keys, [day]) for day in dates[-DAILY:]]),
    ):
        rates = []
        for part in parts:
            began = time.perf_counter()
            with connection.cursor() as cursor:
                cursor.execute(INSERT.format(order=order), part)
                rates.append(cursor.rowcount / (time.perf_counter() - began))
        tenth = max(1, len(rates) // 10)
        first, last = statistics.mean(rates[:tenth]), statistics.mean(rates[-tenth:])
        say(f"rows of {what} added per second: {first:,.0f} in the first tenth, {last:,.0f} in the last one")


def _tell(layout: str) -> None:
    """Prints sizes and times."""
    table, indexes = (_execute(SIZES.format(what=what)) / 1e6 for what in ("pg_relation_size", "pg_indexes_size"))
    count = _execute("SELECT count(*) FROM forecasting_pricebar")
    say(f"[bold]{layout}[/bold]: {count:,} rows, table {table:,.0f} MB, indexes {indexes:,.0f} MB")
    for what, work in _uses().items():
        work()
        times = [_seconds(work) for _ in range(REPEATS)]
        say(f"  {what:60} {1000 * statistics.median(times):10.2f} ms")
    for what, condition in EXPLAINED.items():
        plans = [_plan(condition) for _ in range(REPEATS)]
        planned, ran, blocks = (statistics.median(each) for each in zip(*plans, strict=True))
        say(f"  {what:60} {planned:10.2f} ms planned, {ran:10.2f} ms run, {blocks:10,.0f} blocks of 8 kB")


def _uses() -> dict[str, Callable[[], object]]:
    """What the service does with bars, for symbols at random."""
    from django.db import transaction  # noqa: PLC0415 - Django must be set up first
    from django.utils import timezone  # noqa: PLC0415 - as above

    from forecasting import market, summary  # noqa: PLC0415 - as above
    from forecasting.background import daily  # noqa: PLC0415 - as above
    from forecasting.market import stored  # noqa: PLC0415 - as above
    from forecasting.market.storing import store  # noqa: PLC0415 - as above
    from forecasting.models import PriceBar, Symbol  # noqa: PLC0415 - as above
    from forecasting.prices.sources import PriceHistory  # noqa: PLC0415 - as above

    every, chosen = list(Symbol.objects.all()), random.Random(42)
    symbols = Symbol.objects.all()

    def sync() -> None:
        """The last six bars again, and one more: the one before the first is deleted, so that one is new."""
        symbol = chosen.choice(every)
        bars = market.recent_bars([symbol], count=6)[symbol.pk]
        _execute("DELETE FROM forecasting_pricebar WHERE symbol_id = %s AND date = %s", symbol.pk, bars.index[-1].date())
        history = PriceHistory(bars=bars, currency="USD")
        assert store(symbol, history, whole=False, now=timezone.now()).written == 1

    def add_to_all() -> None:
        with transaction.atomic():
            _execute(OF_ALL, date(2040, 12, 31))
            transaction.set_rollback(True)

    return {
        "the last 81 bars of a symbol (a forecast)": lambda: market.recent_bars([chosen.choice(every)], count=81),
        "the last 81 bars of 100 symbols (a batch of the daily job)": lambda: market.recent_bars(
            chosen.sample(every, 100), count=81
        ),
        "the whole history of a symbol (a training)": lambda: stored.bars(chosen.choice(every)),
        "a sync that adds one bar": sync,
        "a new bar of each symbol in one statement": add_to_all,
        "the last 283 closes of a symbol (a chart)": lambda: list(
            PriceBar.objects.of(chosen.choice(every)).reverse().values_list("date", "close")[:283]
        ),
        "the last bar of all symbols": lambda: list(symbols.with_last_bar()),
        "the age of prices of all symbols (figures for monitoring)": summary._bars,
        "the batches of the daily job": lambda: list(daily._batches()),
        "symbols with a bar of the last 30 days": lambda: symbols.with_bar_since(date.today() - timedelta(days=30)).count(),  # noqa: DTZ011
        "symbols with 496 bars": lambda: symbols.with_history(496).count(),
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _plan(condition: str) -> tuple[float, float, int]:
    """Milliseconds of planning and of running, and the blocks that were read."""
    plan: Any = _execute(
        f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM forecasting_pricebar WHERE {condition}"  # noqa: S608 - conditions of our own
    )
    whole = plan[0]
    return whole["Planning Time"], whole["Execution Time"], sum(whole["Plan"][f"Shared {kind} Blocks"] for kind in ("Hit", "Read"))


def _execute(statement: str, *values: int | date) -> float:
    """The first value of the first row, if there are rows."""
    from django.db import connection  # noqa: PLC0415 - Django must be set up first

    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchone()[0] if cursor.description else 0


if __name__ == "__main__":
    main()
