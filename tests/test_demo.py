"""`manage.py demo`: the whole service, used over HTTP as by a new user."""

import subprocess
import sys
from datetime import date
from pathlib import Path

from django.conf import settings

from forecasting.prices.simulation import Simulation
from tests.running import MARK, process_ids


def demo(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the demo with its state below `folder`."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "demo", *arguments]
    variables = {"STATE_DIR": str(folder), "ENV_FILE": "/dev/null", MARK: str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=280)


def test_it_trains_and_forecasts_simulated_prices_and_leaves_nothing_behind(tmp_path: Path) -> None:
    run = demo(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    for text in ("SIMULATED", "SAMPLE1", "SAMPLE2", "naive MAE", "knowing what SPY has done", "Re-training initiated", "version 2"):
        assert text in run.stdout
    assert "UTC it costs" in run.stdout or "Its session is" in run.stdout
    assert list((tmp_path / "demo").iterdir()) == []
    assert process_ids(tmp_path) == []


def test_it_says_what_failed_and_where_the_log_is(tmp_path: Path) -> None:
    prices = tmp_path / "prices"
    prices.mkdir()
    bars = Simulation(seed=1).fetch("SAMPLE1", since=date(2026, 1, 1), through=date(2026, 3, 31)).bars
    bars.assign(adj_close="").to_csv(prices / "NEW.csv", date_format="%Y-%m-%d")
    run = demo(tmp_path, "NEW", "--prices", str(prices))
    assert run.returncode != 0
    assert "NEW has" in run.stderr
    assert "console.log" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert process_ids(tmp_path) == []
