"""`python -m tests.daily_bench [--symbols 1000 --sessions 250]`: what a training and each step of the daily job cost.

A few symbols are looked up and trained. The others are their copies: each has bars, a version with files, and a ledger of so many
sessions, whose last forecasts come from the daily job before. The price source, a folder of files, answers at once.

CPU seconds are those of this process and of its connection to Postgres; they hardly depend on what else the machine does. Memory is
the highest of a step above that before it.
"""

import argparse
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import curl_cffi  # noqa: F401 - must be loaded before TensorFlow
from rich.console import Console

from tests.bench_database import own_database

TRAINED = 8  # symbols, whose versions the others copy
BARS = 700  # of each copy: as many as a sync may read
TICKS = os.sysconf("SC_CLK_TCK")
COPIED_BARS = """
    INSERT INTO forecasting_pricebar (symbol_id, date, open, high, low, close, volume)
    SELECT copy.id, bar.date, bar.open, bar.high, bar.low, bar.close, bar.volume
    FROM unnest(%s::bigint[], %s::bigint[]) AS copy (id, original)
    CROSS JOIN LATERAL (SELECT * FROM forecasting_pricebar WHERE symbol_id = copy.original ORDER BY date DESC LIMIT %s) AS bar
"""

# Of a martingale with a daily volatility of one percent, so that they turn out as promised.
FORECASTS = """
    INSERT INTO forecasting_forecast (
        symbol_id, version_id, as_of, target_date, last_close, price, quantiles, reference, interval_level, interval_low,
        interval_high, spread_factor, probability_up, issued_at
    )
    SELECT symbol_id, version.id, date, target, close, close, quantiles, quantiles, 0.8, close * 0.9872, close * 1.0128, 1, 0.5,
        date + interval '27 hours'
    FROM forecasting_modelversion AS version
    JOIN (
        SELECT symbol_id, date, lead(date) OVER bars AS target, close, row_number() OVER (PARTITION BY symbol_id ORDER BY date DESC)
        FROM forecasting_pricebar WINDOW bars AS (PARTITION BY symbol_id ORDER BY date)
    ) AS bar USING (symbol_id)
    CROSS JOIN LATERAL jsonb_build_object(
        '0.05', close * 0.9836, '0.1', close * 0.9872, '0.25', close * 0.9933, '0.5', close, '0.75', close * 1.0067,
        '0.9', close * 1.0128, '0.95', close * 1.0164
    ) AS quantiles
    WHERE target IS NOT NULL AND row_number <= %s + 1
    ORDER BY date, symbol_id
"""

say = Console(highlight=False, width=160).print


def main() -> None:
    """Makes a database of its own, and removes it in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.daily_bench", description=__doc__)
    parser.add_argument("--symbols", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=250)
    chosen = parser.parse_args()
    with own_database(PRICE_SOURCE="csv", TRAIN_QUEUE_LIMIT="100000") as prices:
        _measure(prices, [f"MANY{number}" for number in range(chosen.symbols)], sessions=chosen.sessions)


def _measure(prices: Path, tickers: list[str], *, sessions: int) -> None:
    from django.utils import timezone  # noqa: PLC0415 - Django must be set up first

    from forecasting import serving, summary  # noqa: PLC0415 - as above
    from forecasting.background import daily  # noqa: PLC0415 - as above
    from tests.seeding import train_waiting  # noqa: PLC0415 - as above

    few = tickers[:TRAINED]
    _write(prices, tickers, without_last=True)
    with _told("looked up, and its first bars stored", few):
        serving.standing(few, now=timezone.now(), budget_s=3600.0)
    with _told("trained, the first one", few[:1]):
        train_waiting(most=1)
    with _told("trained", few[1:]):
        train_waiting()
    _copy(few, tickers[TRAINED:])
    _fill_ledger(sessions)
    daily.run(daily.due_date() - timedelta(days=2))
    _write(prices, tickers, without_last=False)
    report: dict[str, Any] = {}
    for step in daily.PLAN:
        with _told(f"daily job, {step.do.__name__.strip('_')}", tickers):
            while not step.do(report, timezone.now()):
                pass
    with _told("figures for monitoring", tickers):
        summary.refresh()
    say(report)
    _tell_sizes()


@contextmanager
def _told(what: str, tickers: Sequence[str]) -> Iterator[None]:
    """Prints what the work inside costs."""
    from django.db import connection  # noqa: PLC0415 - Django must be set up first

    queries = 0

    def count(execute: Any, *arguments: Any) -> Any:
        nonlocal queries
        queries += 1
        return execute(*arguments)

    Path("/proc/self/clear_refs").write_text("5")  # the highest memory is that from now on
    before, began, ours, theirs = _memory("VmRSS"), time.perf_counter(), time.process_time(), _of_connection()
    with connection.execute_wrapper(count):
        yield
    seconds, ours, theirs = time.perf_counter() - began, time.process_time() - ours, _of_connection() - theirs
    each = 1000 * (ours + theirs) / len(tickers)
    cost = f"{seconds:8.1f} s, CPU {ours:7.1f} + {theirs:6.1f} s, {each:8.2f} ms a symbol"
    say(f"{what:38} {cost}, {queries / len(tickers):6.2f} queries a symbol, {_memory('VmHWM') - before:6.0f} MB")


def _of_connection() -> float:
    """CPU seconds of the process of Postgres that serves this connection."""
    from django.db import connection  # noqa: PLC0415 - Django must be set up first

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (process,) = cursor.fetchone()
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(field: str) -> float:
    """MB of this process: VmRSS now, VmHWM at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1000


def _copy(originals: list[str], copies: list[str]) -> None:
    """Symbols with bars and versions of others. Files are hard links."""
    from django.db import connection  # noqa: PLC0415 - Django must be set up first
    from django.forms.models import model_to_dict  # noqa: PLC0415 - as above

    from forecasting import registry  # noqa: PLC0415 - as above
    from forecasting.models import ModelVersion, Symbol  # noqa: PLC0415 - as above

    stored = Symbol.objects.all().by_ticker(originals)
    known = [stored[ticker] for ticker in originals]  # not by key: the files of the copies follow this order
    own = {version.symbol_id: version for version in ModelVersion.objects.active().of(known)}
    asked = {name: getattr(known[0], name) for name in ("exchange", "currency", "instrument", "synced_at", "upstream_state")}
    made = Symbol.objects.bulk_create(Symbol(ticker=ticker, **asked) for ticker in copies)
    pairs = [(copy, known[number % len(known)]) for number, copy in enumerate(made)]
    with connection.cursor() as cursor:
        cursor.execute(COPIED_BARS, [[copy.pk for copy, _ in pairs], [each.pk for _, each in pairs], BARS])
    versions = []
    for copy, original in pairs:
        version = own[original.pk]
        folder = f"copy-{copy.pk}"
        shutil.copytree(registry.models_root() / version.folder, registry.models_root() / folder, copy_function=os.link)
        fields = model_to_dict(version, exclude=("id", "symbol", "training", "parent", "restatement", "folder"))
        versions.append(ModelVersion(symbol=copy, parent_id=version.parent_id, folder=folder, **fields))
    ModelVersion.objects.bulk_create(versions, batch_size=1000)


def _fill_ledger(sessions: int) -> None:
    """Scored forecasts of the next close, up to the newest bar's session. Without triggers, as these have an old date of issue."""
    from django.db import connection, transaction  # noqa: PLC0415 - Django must be set up first

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(FORECASTS, [sessions])
    from forecasting import scoring  # noqa: PLC0415 - as above

    scoring.score_due()
    connection.cursor().execute("VACUUM ANALYZE")


def _tell_sizes() -> None:
    """Of the tables that grow."""
    from django.db import connection  # noqa: PLC0415 - Django must be set up first

    with connection.cursor() as cursor:
        for table in ("pricebar", "forecast", "score", "modelversion", "training"):
            name = f"forecasting_{table}"
            cursor.execute(f"SELECT count(*), pg_table_size('{name}'), pg_indexes_size('{name}') FROM {name}")  # noqa: S608 - ours
            rows, own, indexes = cursor.fetchone()
            say(f"{name:28} {rows:12,} rows, {own / max(rows, 1):6.0f} + {indexes / max(rows, 1):6.0f} bytes a row with indexes")


def _write(folder: Path, tickers: list[str], *, without_last: bool) -> None:
    """A file of bars for each symbol; those of copies are short, and hard links."""
    from django.utils import timezone  # noqa: PLC0415 - Django must be set up first

    from forecasting.prices.calendars import last_completed_session  # noqa: PLC0415 - as above
    from forecasting.prices.simulation import Simulation  # noqa: PLC0415 - as above

    last = last_completed_session("XNYS", now=timezone.now())
    for seed, ticker in enumerate(tickers[:TRAINED]):
        bars = Simulation(seed=seed).fetch("SAMPLE1", since=None, through=last).bars[: -1 if without_last else None]
        bars.to_csv(folder / f"{ticker}.csv")
        bars[-BARS:].to_csv(folder / f"short{seed}")
    for number, ticker in enumerate(tickers[TRAINED:]):
        if not (link := folder / f"{ticker}.csv").exists():
            link.hardlink_to(folder / f"short{number % TRAINED}")


if __name__ == "__main__":
    main()
