"""Only the trainer loads TensorFlow, and nothing loads Bokeh. Processes of the web server and the task clusters never do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOADED = """
import importlib, sys
import django
django.setup()
for name in {modules}:
    importlib.import_module(name)
print(sorted({{"bokeh", "keras", "tensorflow", "sklearn"}} & {{*sys.modules}}))
"""

WEB = ("stockpred.wsgi", "stockpred.urls", "forecasting.admin", "forecasting.ledger", "forecasting.registry")
CLUSTERS = (
    "forecasting.management.commands.cluster",
    "forecasting.background.tasks",
    "forecasting.background.trainer_parent",
    "django_q.cluster",
)
WORKER = ("forecasting.management.commands.worker", "forecasting.background.worker")


def test_the_web_server_loads_nothing_that_draws_pictures() -> None:
    command = [sys.executable, "-W", "ignore", "-c", LOADED.format(modules=WEB).replace("sklearn", "PIL")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stdout.splitlines()[-1:] == ["[]"], finished.stdout + finished.stderr


@pytest.mark.parametrize("modules", [WEB, CLUSTERS, WORKER], ids=["web server", "task clusters", "worker"])
def test_it_loads_neither_tensorflow_nor_bokeh(modules: tuple[str, ...]) -> None:
    command = [sys.executable, "-W", "ignore", "-c", LOADED.format(modules=modules)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stdout.splitlines()[-1:] == ["[]"], finished.stdout + finished.stderr


FORECAST = """
from tests.pipeline.market_data import serving_model, simulated_bars
from forecasting.pipeline.serving.forecaster import Forecaster
print(Forecaster(serving_model()).forecast(simulated_bars()).price > 0)
"""


def test_a_process_that_forecasts_keeps_nothing_in_the_home_folder(tmp_path: Path) -> None:
    home = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "CI"))}
    command = [sys.executable, "-W", "ignore", "-c", FORECAST]
    finished = subprocess.run(command, env=home | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert finished.stdout == "True\n", finished.stderr
    assert list(tmp_path.rglob("*")) == []
