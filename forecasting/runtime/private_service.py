"""A whole service in a folder of its own, beside any other: what the demo and the benchmark drive over HTTP."""

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
RUNNING = "Ctrl-C stops"  # the end of what `manage.py run` says once web server and worker run


class ServiceError(Exception):
    """The service did not do what it should; the text says what, and where its logs are."""


class PrivateService:
    """`manage.py run` with its own database, files, logs and port. Leaving the context stops it; nothing of it stays but, after an
    error, its folder with the logs."""

    def __init__(self, parent: Path, *, prices: Path | None) -> None:
        """Prices from a folder of CSV files, or simulated. Starts nothing yet."""
        self.simulated = prices is None
        parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        self._folder.chmod(0o755)  # where root runs it, the database runs as somebody else
        self._console = self._folder / "console.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = {
            "ENV_FILE": os.devnull,
            "DATABASE_URL": "",
            "SECRET_KEY": secrets.token_urlsafe(),
            "DEBUG": "False",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "ENABLE_LOGS": "True",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "STATE_DIR": str(self._folder),
            "LOG_DIR": str(self._folder / "logs"),
            "MEDIA_ROOT": str(self._folder / "media"),
            "PRICE_SOURCE": "sample" if prices is None else "csv",
            "PRICE_DIR": str(prices.resolve()) if prices else "",
        }

    def __enter__(self) -> "PrivateService":
        self._stop_signal = StopSignal()
        self._group = ProcessGroup("service", [*MANAGE, "run"], env=self._env, output=self._console)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._group.stop(grace_s=STOP_SECONDS)
        command = [*MANAGE, "stop_postgres", "--destroy"]
        stopped = subprocess.run(command, env=os.environ | self._env, check=False, capture_output=True, text=True)
        if error is None and stopped.returncode:
            raise self.error(f"Its database could not be stopped: {stopped.stderr.strip()}")
        if error is None:
            shutil.rmtree(self._folder)

    def until_up(self) -> None:
        """Returns when web server and worker run; raises ServiceError."""
        self.until("the service", lambda: RUNNING in self._console.read_text(errors="replace"), seconds=START_SECONDS)

    def until(self, what: str, condition: Callable[[], bool], *, seconds: float) -> None:
        """Returns when the condition is true; raises ServiceError when time is up, the service ends or a person interrupts."""
        ends = time.monotonic() + seconds
        while not condition():
            if self._group.ended() is not None:
                raise self.error(f"The service ended by itself: {self._last_words()}")
            if time.monotonic() > ends:
                raise self.error(f"Waited {seconds:.0f} s for {what} in vain.")
            if self._stop_signal.wait(POLL_SECONDS):
                raise self.error("It was interrupted.")

    def post(self, route: str, **body: Any) -> Any:
        """The JSON that `POST /models/ROUTE` answers; raises ServiceError."""
        return self._ask(route, json.dumps(body).encode())

    def get(self, route: str) -> Any:
        """The JSON that `GET /models/ROUTE` answers; raises ServiceError."""
        return self._ask(route, None)

    def manage(self, *arguments: str, **environment: str) -> tuple[float, float]:
        """Runs a command of manage.py in the service's environment; its seconds and its peak memory in MB. Raises ServiceError."""
        output = self._folder / "command.log"
        started = time.perf_counter()
        with output.open("w") as file:
            process = subprocess.Popen([*MANAGE, *arguments], env=os.environ | self._env | environment, stdout=file, stderr=file)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise self.error(f"{arguments[0]} failed: {output.read_text(errors='replace')[-2000:]}")
        return time.perf_counter() - started, usage.ru_maxrss / 1000

    def _ask(self, route: str, body: bytes | None) -> Any:
        url = f"{self.url}/models/{route}"
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
                return json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise self.error(f"{request.get_method()} /models/{route} answered {error.code}: {text}") from error
        except OSError as error:
            raise self.error(f"{request.get_method()} /models/{route}: {error}.") from error

    def _last_words(self) -> str:
        return (self._console.read_text(errors="replace").splitlines() or ["it printed nothing"])[-1]

    def error(self, what: str) -> ServiceError:
        """An error that tells where the logs are."""
        return ServiceError(f"{what}\nLogs: {self._console} and {self._folder / 'logs' / 'app.log'}")
