"""Only the trainer loads TensorFlow. Processes of the web server and the task clusters never do."""

import subprocess
import sys

import pytest

LOADED = """
import importlib, sys
import django
django.setup()
for name in {modules}:
    importlib.import_module(name)
print(sorted({{"keras", "tensorflow", "sklearn"}} & {{*sys.modules}}))
"""

WEB = ("stockpred.wsgi", "stockpred.urls", "forecasting.admin", "forecasting.ledger", "forecasting.registry")
CLUSTERS = (
    "forecasting.management.commands.cluster",
    "forecasting.background.tasks",
    "forecasting.background.trainer_parent",
    "django_q.cluster",
)
WORKER = ("forecasting.management.commands.worker", "forecasting.background.worker")


@pytest.mark.parametrize("modules", [WEB, CLUSTERS, WORKER], ids=["web server", "task clusters", "worker"])
def test_it_loads_no_tensorflow(modules: tuple[str, ...]) -> None:
    command = [sys.executable, "-W", "ignore", "-c", LOADED.format(modules=modules)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.stdout.splitlines()[-1:] == ["[]"], finished.stdout + finished.stderr
