"""A complete, isolated service in its own folder, used over HTTP by the demo, the benchmark and the pictures."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from forecasting.runtime.processes import ProcessGroup, StopSignal

MANAGE = [sys.executable, str(Path(__file__).resolve().parents[2] / "manage.py")]
START_SECONDS = 120
STOP_SECONDS = 60
POLL_SECONDS = 0.5
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy that the environment names cannot reach the service
RUNNING = "Ctrl-C stops"  # end of the line that `manage.py run` prints once web server and worker run


class ServiceError(Exception):
    """The service failed; the message says how, and where its logs are."""


class PrivateService:
    """`manage.py run`, or another command, with its own database, files, logs and port.

    Leaving the context stops it and removes its folder. After an error the folder stays, with the logs.
    """

    def __init__(self, parent: Path, *, prices: Path | None, command: str = "run", **variables: str) -> None:
        """With prices from a folder of CSV files, or simulated ones, and more variables. Starts nothing yet."""
        self.simulated = prices is None
        self._command = command
        parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        self._folder.chmod(0o755)  # if root runs it, the database runs as another user
        self._console = self._folder / "console.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "ENV_FILE": os.devnull,
            "DATABASE_URL": "",
            "SECRET_KEY": secrets.token_urlsafe(),
            "DEBUG": "False",
            "HTTPS_ONLY": "False",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "ENABLE_LOGS": "True",
            "HOST": "127.0.0.1",
            "ANONYMOUS_REQUESTS_PER_MINUTE": "1000000",  # counted, but never spent by the benchmark
            "TRUSTED_PROXIES": "127.0.0.1",  # it plays several callers
            "PORT": str(self.port),
            "STATE_DIR": str(self._folder),
            "LOG_DIR": str(self._folder / "logs"),
            "MEDIA_ROOT": str(self._folder / "media"),
            "PRICE_SOURCE": "sample" if prices is None else "csv",
            "PRICE_DIR": str(prices.resolve()) if prices else "",
            **variables,
        }

    def __enter__(self) -> "PrivateService":
        self._stop_signal = StopSignal()
        self._group = ProcessGroup("service", [*MANAGE, self._command], env=self.env, output=self._console)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._group.stop(grace_s=STOP_SECONDS)
        command = [*MANAGE, "stop_postgres", "--destroy"]
        stopped = subprocess.run(command, env=os.environ | self.env, check=False, capture_output=True, text=True)
        if error is None and stopped.returncode:
            raise self.error(f"The service's database could not be stopped: {stopped.stderr.strip()}")
        if error is None:
            shutil.rmtree(self._folder)

    def until_up(self) -> None:
        """Waits until web server and worker run. Raises ServiceError."""
        self.until("the service", lambda: RUNNING in self._console.read_text(errors="replace"), seconds=START_SECONDS)

    def until(self, what: str, condition: Callable[[], bool], *, seconds: float) -> None:
        """Waits until the condition is true. Raises ServiceError on timeout, on Ctrl-C, or if the service ends."""
        ends = time.monotonic() + seconds
        while not condition():
            if self._group.ended() is not None:
                raise self.error(f"The service ended by itself; its last line: {self._last_line()}")
            if time.monotonic() > ends:
                raise self.error(f"Timed out after {seconds:.0f} s, waiting for {what}.")
            if self._stop_signal.wait(POLL_SECONDS):
                raise self.error(f"Interrupted while waiting for {what}.")

    def post(self, route: str, **body: Any) -> Any:
        """The JSON response of `POST /models/ROUTE`. Raises ServiceError."""
        return self._ask(route, json.dumps(body).encode())

    def get(self, route: str) -> Any:
        """The JSON response of `GET /models/ROUTE`. Raises ServiceError."""
        return self._ask(route, None)

    def manage(self, *arguments: str, **environment: str) -> tuple[float, float]:
        """Runs a manage.py command in the service's environment; returns seconds and peak memory in MB. Raises ServiceError."""
        output = self._folder / "command.log"
        started = time.perf_counter()
        with output.open("w") as file:
            process = subprocess.Popen([*MANAGE, *arguments], env=os.environ | self.env | environment, stdout=file, stderr=file)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise self.error(f"{arguments[0]} failed: {output.read_text(errors='replace')[-2000:]}")
        return time.perf_counter() - started, usage.ru_maxrss / 1000

    def _ask(self, route: str, body: bytes | None) -> Any:
        url = f"{self.url}/models/{route}"
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - a URL of our own
        try:
            with OPENER.open(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise self.error(f"{request.get_method()} /models/{route} answered {error.code}: {text}") from error
        except OSError as error:
            raise self.error(f"{request.get_method()} /models/{route}: {error}.") from error

    def _last_line(self) -> str:
        return (self._console.read_text(errors="replace").splitlines() or ["(no output)"])[-1]

    def error(self, what: str) -> ServiceError:
        """An error that says where the logs are."""
        return ServiceError(f"{what}\nLogs: {self._console} and {self._folder / 'logs' / 'app.log'}")
