"""The part of `manage.py bench` that measures the pipeline alone, in a separate process like the trainer."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.prices.csv_folder import CsvFolder, price_files
from forecasting.prices.simulation import Simulation

FORECASTS = 1000
SIMULATED_SYMBOLS = 52
SIMULATED_END = date(2024, 12, 31)
MEGABYTE = 1e6

History = tuple[str, pd.DataFrame]


def measure_pipeline(prices: Path | None, tickers: list[str], *, trainings: int, say: Callable[[str, float, str], None]) -> None:
    """Measures a base training on all symbols, forecasts from a loaded version, and a trainer's memory; one line per figure."""
    folder = str(prices) if prices else ""
    command = [sys.executable, "-W", "ignore", "-m", __name__, folder, str(trainings), *tickers]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    for line in finished.stdout.splitlines():
        say(*json.loads(line))


def measure_reference(script: Path, prices: Path, ticker: str, *, warm_s: float, say: Callable[[str, float, str], None]) -> None:
    """Runs another system's script with folder and symbol, for comparison. It prints `fit_seconds` and `mae_naive` as JSON."""
    finished = subprocess.run([sys.executable, str(script), str(prices), ticker], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    say(f"reference system, fit of {ticker}", result["fit_seconds"], "s")
    say(f"reference system, error relative to the naive forecast, {ticker}", result["mae_naive"], "")
    say("reference fit relative to a warm training", result["fit_seconds"] / warm_s, "times")


def main(folder: str, trainings: str, *tickers: str) -> None:
    """Runs in the child process: prints each figure as a line of JSON."""
    # These load TensorFlow, which the parent must not load.
    from forecasting.pipeline.base import train_base  # noqa: PLC0415
    from forecasting.pipeline.serving.forecaster import Forecaster  # noqa: PLC0415
    from forecasting.pipeline.training import train  # noqa: PLC0415

    config = ForecastConfig()
    histories = _histories(folder)
    started = time.perf_counter()
    base = train_base(histories, config)
    _print(f"base model of {len(base.symbols)} symbols", time.perf_counter() - started, "s")
    mine = [history for history in histories if history[0] in tickers] or histories[:1]
    memory = []
    for number in range(int(trainings)):
        symbol, bars = mine[number % len(mine)]
        model = train(bars, config, symbol=symbol, base=base)
        memory.append(_resident())
    forecaster = Forecaster(model)
    started = time.perf_counter()
    for _ in range(FORECASTS):
        forecaster.forecast(bars)
    _print(f"{FORECASTS} forecasts from a loaded version", time.perf_counter() - started, "s")
    for count in sorted({1, len(memory) // 4, len(memory) // 2, len(memory)} - {0}):
        _print(f"memory of a trainer after {count} trainings", memory[count - 1] / MEGABYTE, "MB")


def _histories(folder: str) -> list[History]:
    if folder:
        source = CsvFolder(Path(folder))
        symbols = sorted(path.stem.upper() for path in price_files(Path(folder)))
        return [(symbol, source.fetch(symbol, since=None, through=date.max).bars) for symbol in symbols]
    simulation = Simulation(seed=ForecastConfig().seed)
    symbols = [f"SAMPLE{number}" for number in range(1, SIMULATED_SYMBOLS + 1)]
    return [(symbol, simulation.fetch(symbol, since=None, through=SIMULATED_END).bars) for symbol in symbols]


def _resident() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def _print(*figure: object) -> None:
    sys.stdout.write(json.dumps(figure) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
