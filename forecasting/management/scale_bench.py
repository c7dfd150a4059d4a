"""The part of `manage.py bench` with many symbols: time and memory of an import and of a daily job."""

import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
from django.utils import timezone

from forecasting.background.daily import due_date
from forecasting.prices.calendars import last_completed_session
from forecasting.prices.simulation import Simulation
from forecasting.runtime.private_service import PrivateService

Say = Callable[[str, float, str], None]

DIFFERENT = 20  # distinct histories, shared by the symbols in turn
FEW = 100  # symbols of the smaller import, which shows how memory grows


def measure_scale(service: PrivateService, symbols: int, *, say: Say) -> None:
    """Imports `symbols` simulated histories of about 3,000 bars each. Then syncs one new bar each, scores and forecasts all."""
    last = last_completed_session("XNYS", now=timezone.now())
    histories = [Simulation(seed=seed).fetch("SAMPLE1", since=None, through=last).bars for seed in range(DIFFERENT)]
    with tempfile.TemporaryDirectory() as folder:
        few, all_of_them = _folder(Path(folder) / "few"), _folder(Path(folder) / "all")
        _write(few, [bars[:-1] for bars in histories], min(FEW, symbols))
        _write(all_of_them, [bars[:-1] for bars in histories], symbols)
        _, before = service.manage("import_prices", str(few))
        seconds, peak = service.manage("import_prices", str(all_of_them))
        say(f"import of {symbols:,} histories", seconds, "s")
        say(f"its memory, relative to an import of {min(FEW, symbols)}", peak / before, "")
        _write(all_of_them, histories, symbols)
        yesterday = due_date() - timedelta(days=1)  # today's job ran when the service started
        seconds, peak = service.manage("daily", "--date", str(yesterday), PRICE_SOURCE="csv", PRICE_DIR=str(all_of_them))
        say(f"daily job of {symbols:,} stored symbols, one new bar each", seconds, "s")
        say("its memory, relative to the import", peak / before, "")


def _folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _write(folder: Path, histories: list[pd.DataFrame], symbols: int) -> None:
    """Writes the histories under the names of many symbols, as hard links to save time."""
    files = [folder / f"HIST{number}.txt" for number in range(len(histories))]
    for file, bars in zip(files, histories, strict=True):
        bars.to_csv(file)
    for number in range(symbols):
        if not (link := folder / f"SCALE{number}.csv").exists():
            os.link(files[number % len(files)], link)
