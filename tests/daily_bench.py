"""`python -m tests.daily_bench [--symbols 200]`: what a symbol costs in a day: seconds of its training and of each daily step.

Each symbol has a simulated history of about 3,000 bars, a version of its own, and yesterday's forecasts to be scored.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import curl_cffi  # noqa: F401 - must be loaded before TensorFlow
import django
from rich.console import Console

HISTORIES = 20  # different ones, shared by the symbols in turn

say = Console(highlight=False, width=160).print


def main() -> None:
    """Makes a database of its own, and removes it in the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.daily_bench", description=__doc__)
    parser.add_argument("--symbols", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        prices = Path(folder) / "prices"
        prices.mkdir()
        own = {"ENV_FILE": os.devnull, "DATABASE_URL": "", "STATE_DIR": folder, "LOG_DIR": folder, "MEDIA_ROOT": f"{folder}/media"}
        os.environ |= own | {
            "PRICE_SOURCE": "csv",
            "PRICE_DIR": str(prices),
            "SECRET_KEY": "of a benchmark",
            "ENABLE_LOGS": "False",
        }
        os.environ |= {"DJANGO_SETTINGS_MODULE": "stockpred.settings", "TRAIN_QUEUE_LIMIT": "100000"}
        django.setup()
        from django.core.management import call_command  # noqa: PLC0415 - Django must be set up first

        try:
            call_command("migrate", verbosity=0)
            _measure(prices, [f"MANY{number}" for number in range(chosen.symbols)])
        finally:
            subprocess.run([sys.executable, "manage.py", "stop_postgres", "--destroy"], check=True, stdout=subprocess.DEVNULL)


def _measure(prices: Path, tickers: list[str]) -> None:
    from django.utils import timezone  # noqa: PLC0415 - Django must be set up first

    from forecasting import serving  # noqa: PLC0415 - as above
    from forecasting.background import daily  # noqa: PLC0415 - as above
    from tests.seeding import train_waiting  # noqa: PLC0415 - as above

    _write(prices, tickers, without_last=True)
    began = time.perf_counter()
    serving.standing(tickers, now=timezone.now(), budget_s=3600.0)
    _tell("looked up, and its first bars stored", began, tickers)
    began = time.perf_counter()
    train_waiting()
    _tell("trained", began, tickers)
    today = timezone.localdate()
    daily.run(today - timedelta(days=2))
    _write(prices, tickers, without_last=False)
    report: dict[str, Any] = {}
    for step in daily.PLAN:
        began = time.perf_counter()
        assert step.do(report, timezone.now())
        _tell(f"daily job, {step.do.__name__.strip('_')}", began, tickers)
    say(report)


def _tell(what: str, began: float, tickers: list[str]) -> None:
    seconds = time.perf_counter() - began
    say(f"{what:45} {seconds:8.1f} s, {1000 * seconds / len(tickers):8.2f} ms a symbol")


def _write(folder: Path, tickers: list[str], *, without_last: bool) -> None:
    """A file of bars for each symbol."""
    from django.utils import timezone  # noqa: PLC0415 - Django must be set up first

    from forecasting.prices.calendars import last_completed_session  # noqa: PLC0415 - as above
    from forecasting.prices.simulation import Simulation  # noqa: PLC0415 - as above

    last = last_completed_session("XNYS", now=timezone.now())
    texts = []
    for seed in range(min(HISTORIES, len(tickers))):
        bars = Simulation(seed=seed).fetch("SAMPLE1", since=None, through=last).bars
        texts.append(bars[: -1 if without_last else None].to_csv())
    for number, ticker in enumerate(tickers):
        (folder / f"{ticker}.csv").write_text(texts[number % len(texts)])


if __name__ == "__main__":
    main()
