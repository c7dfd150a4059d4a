"""`manage.py run` twice in one folder, and `stop_postgres` beside it, with the embedded Postgres."""

import os
import pty
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from forecasting.runtime.private_service import PrivateService
from stockpred.embedded_postgres.server import EmbeddedPostgres

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


@pytest.fixture(scope="module")
def service() -> Iterator[PrivateService]:
    """One that runs. Its folder is one that the account of root's Postgres can enter."""
    original = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        variables = {"DJANGO_SETTINGS_MODULE": "stockpred.settings", "http_proxy": "http://127.0.0.1:9"}  # where nobody listens
        with PrivateService(Path(folder), prices=None, **variables) as running:
            running.until_up()
            yield running
    for number, handler in original.items():
        signal.signal(number, handler)


def manage(service: PrivateService, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command in the service's environment, without a terminal."""
    env = os.environ | service.env | variables
    command = [*MANAGE, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120)


def postmaster(service: PrivateService) -> str:
    """The first line of the pid file of its Postgres, which must run."""
    server = EmbeddedPostgres.at(Path(service.env["STATE_DIR"]) / "postgres")
    assert server.is_running()
    return (server.folders.data / "postmaster.pid").read_text().partition("\n")[0]


def test_a_second_service_in_the_same_folder_is_refused_before_it_touches_anything(service: PrivateService) -> None:
    before = postmaster(service)
    second = manage(service, "run", PORT=str(service.port + 1), SECRET_KEY=secrets.token_urlsafe())
    assert second.returncode == 1
    assert second.stdout == ""
    assert re.search(r"CommandError: `manage.py run` \(process \d+\) already runs with STATE_DIR ", second.stderr)
    assert postmaster(service) == before
    assert service.get("symbols")["count"] >= 0


@pytest.mark.parametrize("options", [[], ["--destroy"]])
def test_the_database_of_a_running_service_is_not_stopped_without_a_question(service: PrivateService, options: list[str]) -> None:
    before = postmaster(service)
    refused = manage(service, "stop_postgres", *options)
    assert refused.returncode == 3
    assert re.search(r"`manage.py run` \(process \d+\) runs on the Postgres of .* Stop it first, or use --force.", refused.stderr)
    assert postmaster(service) == before


def test_a_person_who_does_not_agree_stops_nothing(service: PrivateService) -> None:
    before = postmaster(service)
    terminal, end = pty.openpty()
    env = os.environ | service.env
    with subprocess.Popen([*MANAGE, "stop_postgres"], env=env, stdin=end, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as asked:
        os.write(terminal, b"\n")
        output, errors = asked.communicate(timeout=60)
    assert b"Take it away all the same? [y/N]" in output
    assert b"Nothing is stopped." in errors
    assert postmaster(service) == before
    os.close(terminal)
    os.close(end)
