"""The former release, in real processes, beside the present one: no request fails, no training is lost."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import TrainingState
from forecasting.runtime.processes import ProcessGroup, wait_for
from tests.factories import add_bars, make_finding, make_forecast, make_symbol
from tests.running import started
from tests.small_model import publish_model
from tests.test_web import Load, Web
from tests.upgrades.former import unpack

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

LOGIN = ("ana", "the password of a test")
SYMBOLS = {"symbols": ["SAMPLE1"]}
BODIES = {f"/models/{name}": SYMBOLS for name in ("check", "metrics", "predict")} | {"/models/retrain": {"symbol": "SAMPLE1"}}
NO_WORKER = "No worker has run yet."


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the former release."""
    return unpack(tmp_path_factory.mktemp("former"))


@contextmanager
def web(folder: Path, *, code: Path = settings.BASE_DIR) -> Iterator[Web]:
    """A web server that runs this code."""
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started("web", folder, code=code, PORT=str(port), DEBUG="False", HTTPS_ONLY="False") as group:
        running = Web(group, folder, port)
        assert wait_for(lambda: "2 web server processes accept connections" in running.output(), seconds=120)
        yield running


@contextmanager
def worker(folder: Path, *, code: Path = settings.BASE_DIR) -> Iterator[ProcessGroup]:
    """A worker that runs this code."""
    folder.mkdir(exist_ok=True)
    with started("worker", folder, code=code) as group:
        yield group


def ask(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of an answer."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        sent = body if body is None or isinstance(body, str) else json.dumps(body)
        client.request(method, path, sent, {"Content-Type": "application/json"} | headers)
        response = client.getresponse()
        return response.status, response.read().decode(), dict(response.getheaders())
    finally:
        client.close()


@pytest.fixture
def stored() -> None:
    """At least one row in each list."""
    symbol = make_symbol()
    add_bars(symbol, count=400)
    version = publish_model(symbol)
    make_forecast(version, date(2025, 6, 2), actual_close=101.0)
    make_finding(symbol)
    known_to_the_service = PBKDF2PasswordHasher().encode(LOGIN[1], "salt")  # the tests' own hasher is not
    account = get_user_model().objects.create_superuser(LOGIN[0])
    account.password = known_to_the_service
    account.save()


def first_key(port: int, path: str, headers: dict[str, str]) -> str:
    """The key of the first row of a list, as its detail route wants it; 1 if there is none."""
    answer = json.loads(ask(port, "GET", path, **headers)[1])
    rows = answer.get("results") if isinstance(answer, dict) else answer
    return str(rows[0].get("id", rows[0].get("ticker"))) if rows else "1"


@pytest.mark.usefixtures("stored")
def test_every_route_of_the_former_release_answers_on_the_present_schema(former: Path, tmp_path: Path) -> None:
    routes = yaml.safe_load((former / "openapi.yaml").read_text())["paths"]
    basic = {"Authorization": "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()}
    failed, asked = [], 0
    with web(tmp_path / "web", code=former) as server:
        for route, methods in routes.items():
            parent, _, rest = route.partition("/{")
            path = f"{parent}/{first_key(server.port, parent, basic)}{rest.partition('}')[2]}" if rest else route
            for method in {"get", "post"} & {*methods}:
                query = "?symbols=SAMPLE1" if (method, route) == ("get", "/models/predict") else ""
                status, text, _ = ask(
                    server.port, method.upper(), path + query, BODIES.get(route) if method == "post" else None, **basic
                )
                asked += 1
                expected = {503} if route == "/health/ready" and NO_WORKER in text else {200, 202, 400, 404, 409}
                if status not in expected:
                    failed.append(f"{method} {path}: {status} {text[:200]}")
        failed += admin_failures(server.port)
    assert failed == []
    assert asked >= 20


def admin_failures(port: int) -> list[str]:
    """Asks every page that the admin's first page links, and the first row of each list."""
    login = "/admin/login/?next=/admin/"
    _, text, headers = ask(port, "GET", login)
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', text)
    assert token
    csrf = headers["Set-Cookie"].partition(";")[0]
    form = f"csrfmiddlewaretoken={token.group(1)}&username={LOGIN[0]}&password={LOGIN[1].replace(' ', '+')}"
    status, _, headers = ask(port, "POST", login, form, Cookie=csrf, **{"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 302
    cookie = {"Cookie": re.search(r"sessionid=\w+", str(headers)).group(0)}  # type: ignore[union-attr]
    lists = set(re.findall(r'href="(/admin/\w+/\w+/)"', ask(port, "GET", "/admin/", **cookie)[1]))
    assert len(lists) > 5
    failed = []
    for path in lists:
        status, text, _ = ask(port, "GET", path, **cookie)
        row = re.search(rf'href="({path}[\w%]+/change/)', text)
        statuses = [status, *([ask(port, "GET", row.group(1), **cookie)[0]] if row else [])]
        failed += [f"{path}: {statuses}"] if {*statuses} != {200} else []
    return failed


def test_web_and_worker_of_two_releases_work_side_by_side(former: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("w1", "w2", "w3", "w4")]
    tickers = [f"SAMPLE{number}" for number in range(1, 7)]
    with web(folders[0], code=former) as old, web(folders[1]) as new, worker(folders[2], code=former), worker(folders[3]):
        for server, mine in ((old, tickers[:3]), (new, tickers[3:])):
            assert ask(server.port, "POST", "/models/check", {"symbols": mine})[0] == 200
        assert wait_for(lambda: Training.objects.filter(state=TrainingState.SUCCEEDED).count() == len(tickers), seconds=600)
        for server in (old, new):
            status, text, _ = ask(server.port, "POST", "/models/predict", {"symbols": tickers})
            assert status == 200
            answers = json.loads(text)["predictions"]
            assert {answers[ticker]["status"] for ticker in tickers} == {"success"}
    assert ModelVersion.objects.active().exclude(symbol=None).count() == len(tickers)
    assert set(Training.objects.values_list("attempts", flat=True)) == {1}
    logs = "\n".join((folder / "logs" / "app.log").read_text() for folder in folders)
    assert re.findall(r"^\S+ \S+ (?:ERROR|CRITICAL) .*", logs, flags=re.MULTILINE) == []


def test_a_web_server_takes_over_the_code_of_the_next_release_without_a_lost_request(former: Path, tmp_path: Path) -> None:
    code = shutil.copytree(former, tmp_path / "code")
    with web(tmp_path / "web", code=code) as server:
        before = server.processes()
        with Load(server.port) as load:
            for name in ("forecasting", "stockpred"):
                shutil.copytree(settings.BASE_DIR / name, code / name, dirs_exist_ok=True)
            os.kill(server.group.pid, signal.SIGHUP)
            assert wait_for(lambda: len(server.processes()) == 2 and not before & server.processes(), seconds=240)
        assert load.answered > 0
        assert load.failures == []
        assert ask(server.port, "POST", "/models/check", {"symbols": ["SAMPLE1"]})[0] == 200
