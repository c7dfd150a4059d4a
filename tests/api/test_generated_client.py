"""A client generated from the document: it type-checks with calls of every route, and they succeed against a live server."""

import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from forecasting.models.trainings import TrainingState
from forecasting.prices.calendars import last_completed_session
from tests.api.serving import add_steady_bars, serve
from tests.factories import make_finding, make_symbol, make_training, make_worker

ROOT = Path(settings.BASE_DIR)
CALLS = ROOT / "tests/api/generated_client_calls.py"
CONFIG = "post_hooks: []\n"  # the client is not formatted


def run(*command: str | Path, folder: Path) -> str:
    """What the command printed; fails with it if the command does."""
    environment = os.environ | {"MYPYPATH": str(folder), "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the generated package `stockpred_client`."""
    made = tmp_path_factory.mktemp("client")
    (made / "config.yaml").write_text(CONFIG)
    generate: list[str | Path] = [sys.executable, "-m", "openapi_python_client", "generate", "--path", ROOT / "openapi.yaml"]
    options: list[str | Path] = ["--output-path", made / "stockpred_client", "--meta", "none", "--fail-on-warning"]
    options += ["--config", made / "config.yaml"]
    run(*generate, *options, folder=made)
    return made


def test_the_client_and_its_calls_type_check(package: Path) -> None:
    checked = run(sys.executable, "-m", "mypy", "--strict", "--config-file=", "-p", "stockpred_client", folder=package)
    assert checked.startswith("Success")
    run(sys.executable, "-m", "mypy", "--strict", "--config-file=", CALLS, folder=package)


def test_the_calls_use_every_route(package: Path) -> None:
    routes = {path.stem for path in (package / "stockpred_client/api").glob("*/*.py")} - {"__init__"}
    assert len(routes) > 15
    assert [route for route in routes if f"{route}.sync(" not in CALLS.read_text()] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("folder")
def test_every_call_succeeds(package: Path, live_server: LiveServer) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=last_completed_session(symbol.calendar, now=timezone.now()))
    serve(symbol)
    make_training(make_symbol("SAMPLE2"), state=TrainingState.RUNNING)
    make_finding(symbol)
    make_worker()
    User.objects.create_superuser("ana", password="of a test")  # noqa: S106
    credentials = b64encode(b"ana:of a test").decode()
    run(sys.executable, CALLS, live_server.url, credentials, folder=package)
