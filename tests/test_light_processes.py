"""What processes do not load, and memory that they share or return. Only the trainer loads TensorFlow, and nothing loads Bokeh."""

import os
import platform
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


OWN_MEMORY = """
import re
from pathlib import Path
def own():
    return int(re.search(r"Private_Dirty: +([0-9]+) kB", Path("/proc/self/smaps_rollup").read_text())[1])
"""

COLLECTION = f"""{OWN_MEMORY}
import gc, os
import django
django.setup()
import forecasting.background.tasks
from forecasting.runtime.processes import keep_loaded
keep_loaded()
if not (child := os.fork()):
    before = own()
    gc.collect()
    print(own() - before, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's figures")
def test_a_full_collection_of_a_forked_process_copies_next_to_nothing_of_what_it_shares() -> None:
    command = [sys.executable, "-W", "ignore", "-c", COLLECTION]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert int(finished.stdout) < 5_000, finished.stderr  # kB; 50,000 without keep_loaded


FIRST_FORECAST = f"""{OWN_MEMORY}
import os, sys
import django
django.setup()
from tests.pipeline.market_data import simulated_bars
from forecasting.management.commands.cluster import warm_up
from forecasting.pipeline.serving import artifacts
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.registry.base_model import SHIPPED_BASE
from forecasting.runtime.processes import keep_loaded
if sys.argv[1] == "warm":
    warm_up()
keep_loaded()
if not (child := os.fork()):
    before = own()
    Forecaster.load(SHIPPED_BASE, artifacts.recorded(SHIPPED_BASE)).forecasts(simulated_bars(), exchange="XNYS", factors={{1: 1.0}})
    print(own() - before, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's figures")
def test_the_first_forecast_of_a_task_process_takes_little_memory_although_no_database_told_the_exchanges() -> None:
    def taken(state: str) -> int:
        command = [sys.executable, "-W", "ignore", "-c", FIRST_FORECAST, state]
        env = os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
        finished = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert finished.stdout, finished.stderr
        return int(finished.stdout)

    assert taken("warm") < 0.5 * taken("cold")


FREED = f"""{OWN_MEMORY}
from forecasting.runtime.processes import return_freed_memory
task = [bytearray(1_000) for _ in range(100_000)]
kept = task[::100]
del task
before = own()
return_freed_memory()
print(before - own())
"""


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="other libraries keep less of what is freed")
def test_what_a_task_has_freed_is_returned_although_something_beside_it_is_kept() -> None:
    finished = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=False)
    assert int(finished.stdout) > 50_000, finished.stderr  # of 100,000 kB


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
