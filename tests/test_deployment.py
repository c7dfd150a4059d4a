"""The files of `deploy/`: they are valid, fit the service, and the proxy serves it by HTTPS without losing requests."""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.templatetags.static import static

from forecasting.runtime.processes import ProcessGroup, wait_for
from tests.running import process_ids, started

ROOT = Path(settings.BASE_DIR)
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
REQUIRED = os.environ.get("REQUIRE_DEPLOYMENT_TOOLS") == "1"
BUDGET = 5  # requests a minute of one address
RESTARTS = 2


def tool(name: str) -> str:
    """The path of a program that checks these files. Skips the test without it, if it is not required."""
    path = shutil.which(name)
    if path is None and not REQUIRED:
        pytest.skip(f"needs {name}")
    assert path, f"There is no {name} on the PATH."
    return path


def free_port() -> int:
    """A port below those that the system gives to clients, which may take one before its server does."""
    while True:
        with suppress(OSError), socket.create_server(("", random.randrange(20_000, 32_000))) as free:
            return int(free.getsockname()[1])


def test_systemd_accepts_the_units_with_what_they_have_in_common(tmp_path: Path) -> None:
    verify = tool("systemd-analyze")
    shutil.copytree(DEPLOY / "systemd", tmp_path, dirs_exist_ok=True)
    units = [tmp_path / unit.name for unit in UNITS]
    for unit in units:
        unit.write_text(unit.read_text().replace("/opt/stockpred/.venv/bin/python", sys.executable))  # it must exist
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    command = [verify, "verify", "--man=no", *map(str, units)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_unit_may_write_to_the_folders_that_it_uses() -> None:
    common = (DEPLOY / "systemd/stockpred-.service.d/common.conf").read_text()
    folders = set(re.findall(r"(?:STATE_DIR|MEDIA_ROOT|LOG_DIR|HOME)=(\S+)", common))
    states = re.search(r"^StateDirectory=(.*)$", common, flags=re.MULTILINE)
    logs = re.search(r"^LogsDirectory=(.*)$", common, flags=re.MULTILINE)
    assert states
    assert logs
    assert folders <= {f"/var/lib/{name}" for name in states.group(1).split()} | {f"/var/log/{logs.group(1)}"}
    assert not [unit.name for unit in UNITS if "Environment=" in unit.read_text()]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_a_command_that_exists(unit: Path) -> None:
    commands = re.findall(
        r"^ExecStart(?:Pre)?=/opt/stockpred/.venv/bin/python manage.py (\w+)$", unit.read_text(), flags=re.MULTILINE
    )
    assert {*commands} <= {*get_commands()}
    assert commands[0] == "migrate"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_waits_for_no_other_that_may_fail_for_good(unit: Path) -> None:
    text = unit.read_text()
    assert not re.search("^(Requires|Requisite|BindsTo)=", text, flags=re.MULTILINE)
    assert "Type=oneshot" in text or "StartLimitIntervalSec=0" in text


def test_the_proxy_is_limited_and_the_web_server_behind_it_trusts_its_network_alone() -> None:
    loader = yaml.SafeLoader
    loader.add_constructor("!reset", lambda _loader, _node: None)
    compose = yaml.load((DEPLOY / "internet.yaml").read_text(), loader)  # noqa: S506  # a safe loader
    proxy = compose["services"]["proxy"]
    assert proxy["read_only"]
    assert proxy["pids_limit"]
    assert proxy["mem_limit"]
    (network,) = compose["networks"]["default"]["ipam"]["config"]
    for name in ("web", "worker", "migrate"):
        assert compose["services"][name]["environment"]["TRUSTED_PROXIES"] == network["subnet"]
    assert compose["services"]["web"]["ports"] is None
    assert compose["services"]["web"]["environment"]["ALLOWED_HOSTS"].endswith(",web")  # for a Prometheus in this network


class Proxy:
    """Caddy with our configuration in front of a running web server."""

    def __init__(self, port: int, *, plain: int, web: ProcessGroup, folder: Path) -> None:
        self.port, self.plain, self.web, self._folder = port, plain, web, folder
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE  # Caddy makes its own certificate for localhost

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of a request by HTTPS."""
        client = http.client.HTTPSConnection("localhost", self.port, timeout=30, context=self._context)
        try:
            client.request(method, path, json.dumps(body), {"Content-Type": "application/json", **headers})
            response = client.getresponse()
            return response.status, response.headers, response.read()
        finally:
            client.close()

    def processes(self) -> set[int]:
        """The web server's processes."""
        return set(process_ids(self._folder, command="web_process"))

    def restart(self) -> None:
        """Replaces the web server's processes, as `systemctl reload` does."""
        before = self.processes()
        os.kill(self.web.pid, signal.SIGHUP)
        assert wait_for(lambda: len(self.processes()) == 2 and not before & self.processes(), seconds=120)

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/health")[0] == HTTPStatus.OK
        except OSError:
            return False


@contextmanager
def proxy(folder: Path, **variables: str) -> Iterator[Proxy]:
    """The service as its files deploy it, with ports that are free here."""
    caddy = tool("caddy")
    web, plain, secure = free_port(), free_port(), free_port()
    global_options = f"{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {plain}\n\thttps_port {secure}\n"
    (folder / "Caddyfile").write_text((DEPLOY / "Caddyfile").read_text().replace("{\n", global_options, 1))
    behind = {"PROXY_SSL_HEADER": "X-Forwarded-Proto", "TRUSTED_PROXIES": "127.0.0.1", "HTTPS_ONLY": "True"}
    for_caddy = {"DOMAIN": "localhost", "UPSTREAM": f"127.0.0.1:{web}", "XDG_DATA_HOME": str(folder), "HOME": str(folder)}
    with started("web", folder, PORT=str(web), **behind, **variables) as group:
        command = [caddy, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        edge = ProcessGroup("caddy", command, env=for_caddy, output=folder / "caddy.log")
        try:
            ready = Proxy(secure, plain=plain, web=group, folder=folder)
            assert wait_for(ready.answers, seconds=60), (folder / "caddy.log").read_text()
            yield ready
        finally:
            edge.stop(grace_s=10)


@pytest.mark.django_db(transaction=True)
def test_behind_the_proxy_everything_is_https_and_callers_are_told_apart_by_their_real_address(tmp_path: Path) -> None:
    with proxy(tmp_path, ANONYMOUS_REQUESTS_PER_MINUTE=str(BUDGET)) as edge:
        client = http.client.HTTPConnection("localhost", edge.plain, timeout=30)
        client.request("GET", "/swagger")
        assert client.getresponse().status == HTTPStatus.PERMANENT_REDIRECT
        client.close()
        assert edge.ask("GET", "/metrics")[0] == HTTPStatus.NOT_FOUND
        script = edge.ask("GET", static("admin/js/core.js"), **{"Accept-Encoding": "gzip"})
        assert script[1]["Content-Encoding"] == "gzip"
        status, headers, _body = edge.ask("GET", "/admin/login/")
        assert status == HTTPStatus.OK
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Secure" in headers["Set-Cookie"]
        spoofed = [edge.ask("GET", "/models/symbols", **{"X-Forwarded-For": f"10.0.0.{n}"})[0] for n in range(BUDGET + 1)]
        assert spoofed == [HTTPStatus.OK] * BUDGET + [HTTPStatus.TOO_MANY_REQUESTS]


@pytest.mark.django_db(transaction=True)
def test_no_request_is_lost_behind_the_proxy_while_the_web_server_restarts(tmp_path: Path) -> None:
    statuses, stop = list[int](), threading.Event()
    with proxy(tmp_path, ANONYMOUS_REQUESTS_PER_MINUTE="0") as edge:

        def post() -> None:
            while not stop.is_set():
                statuses.append(edge.ask("POST", "/models/predict", {"symbols": []})[0])

        clients = [threading.Thread(target=post) for _ in range(4)]
        for client in clients:
            client.start()
        for _ in range(RESTARTS):
            edge.restart()
        stop.set()
        for client in clients:
            client.join()
    assert set(statuses) == {HTTPStatus.BAD_REQUEST}  # an empty list of symbols: the service answered
