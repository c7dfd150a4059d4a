"""The service under test: workers and a web server with a database and a folder that only this case uses."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from forecasting.models import Symbol, Training
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.prices.calendars import last_completed_session
from forecasting.prices.simulation import Simulation
from forecasting.runtime.processes import ProcessGroup
from forecasting.training import requests as training_requests
from tests.chaos.pace import Pace
from tests.chaos.processes import descendants, group_of, variable
from tests.running import process_ids, started

BARS = 560  # sessions; little more than a training needs
TICKERS = tuple(f"CHAOS{number}" for number in range(1, 101))
POLL_SECONDS = 0.02
SETTLE_SECONDS = 240.0
PATIENCE_SECONDS = 120.0

# Failures are noticed sooner than with the default timings, so that a case can be repeated many times. Crowds have one address.
FAST = {"LEASE_SECONDS": "8", "HEARTBEAT_SECONDS": "1", "HANG_SECONDS": "15", "ANONYMOUS_REQUESTS_PER_MINUTE": "0"}

FAULTY = {"PYTHONPATH": str(Path(__file__).resolve().parent / "faults")}  # see faults/sitecustomize.py


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured duration and its limit, in seconds."""

    what: str
    seconds: float
    limit: float


@dataclass
class Site:
    """The service under test, with the measurements and problems for the report."""

    folder: Path
    variables: dict[str, str]
    measured: list[Measured] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    accepted: set[int] = field(default_factory=set)
    samples: int = 0  # taken by the oracle
    watched_s: float = 0.0
    pace: Pace = field(default_factory=Pace)
    bucket: dict[str, bytes] | None = None  # its files at the end of the case, if the machines share one

    @contextmanager
    def worker(self, name: str = "worker", *, within: Sequence[str] = (), **variables: str) -> Iterator[ProcessGroup]:
        """A worker in its own folder, as if on its own machine; `within` is a command that wraps it."""
        (self.folder / name).mkdir(exist_ok=True)
        with started("worker", self.folder / name, within=within, **(self.variables | variables)) as group:
            yield group

    @contextmanager
    def web(self, name: str = "web", **variables: str) -> Iterator["Web"]:
        """A web server that answers, in its own folder."""
        (self.folder / name).mkdir(exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        fixed = {"PORT": str(port), "DEBUG": "False", "HTTPS_ONLY": "False"}
        with started("web", self.folder / name, **(self.variables | fixed | variables)):
            web = Web(port)
            self.until("the web server answers", lambda: web.status("GET", "/health") == http.client.OK)
            yield web

    def request(self, tickers: Iterable[str]) -> list[Training]:
        """Requests trainings as a person would; from now on they count as accepted."""
        symbols = Symbol.objects.all().ensure(list(tickers))
        trainings = list(training_requests.request(symbols, reason=TrainingReason.REQUESTED).values())
        self.accepted |= {training.pk for training in trainings}
        return trainings

    def within(self, limit: float, what: str, condition: Callable[[], object]) -> None:
        """Waits for the condition and notes how long that took; a problem if it took longer than `limit` seconds."""
        began = time.monotonic()
        came = self._wait(lambda: bool(condition()), seconds=2 * limit)
        self.note(what if came else f"{what} (timed out)", time.monotonic() - began, limit)

    def note(self, what: str, seconds: float, limit: float) -> None:
        """Notes how long something took; a problem if that was longer than `limit` seconds of a machine at its usual pace."""
        limit *= self.pace.slowness(seconds=seconds)
        self.measured.append(Measured(what, round(seconds, 2), round(limit, 2)))
        if seconds > limit:
            self.problems.append(f"{what}: took {seconds:.1f} s, the limit is {limit:.0f} s")

    def _wait(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Whether the condition came true within so many seconds of a machine at its usual pace."""
        began = time.monotonic()
        while not condition():
            passed = time.monotonic() - began
            if passed > seconds * self.pace.slowness(seconds=passed):
                return False
            time.sleep(POLL_SECONDS)
        return True

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Waits for what the case cannot go on without; notes no time. Raises TimeoutError with the states of the trainings."""
        if not self._wait(condition, seconds=PATIENCE_SECONDS):
            rows = list(self.rows().values_list("symbol__ticker", "state", "stage", "attempts", "error"))
            raise TimeoutError(f"not within {PATIENCE_SECONDS:.0f} s: {what}; trainings: {rows}")

    def expect(self, true: object, problem: str) -> None:
        """Records a problem if it is not true."""
        if not true:
            self.problems.append(problem)

    def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Waits until every accepted training has ended."""
        if not self._wait(lambda: not self.rows().active().exists(), seconds=seconds):
            self.problems.append(f"after {seconds:.0f} s {self.rows().active().count()} trainings have not ended")

    def content(self, name: str) -> bytes | None:
        """The bytes of a model file, by its folder and name; None if there is none."""
        return stored(name) if self.bucket is None else self.bucket.get(name)

    def rows(self) -> Any:
        """The accepted trainings."""
        return Training.objects.filter(pk__in=self.accepted)

    def report(self) -> dict[str, Any]:
        """The report, ready for JSON."""
        noted = {"measured": [asdict(each) for each in self.measured], "problems": self.problems}
        return noted | {"trainings": len(self.accepted), "samples": self.samples, "watched_s": self.watched_s}

    def pids(self, command: str, *, name: str = "worker") -> list[int]:
        """The living processes of one worker that run a command."""
        return process_ids(self.folder / name, command=command)

    def trainer(self, *, name: str = "worker") -> int:
        """Waits for a trainer; returns its process id."""
        found: list[int] = []

        def look() -> bool:
            found[:] = self.pids("trainer", name=name)
            return bool(found)

        self.until("there is a trainer", look)
        return found[0]

    def clusters(self, *, name: str = "worker") -> dict[str, int]:
        """The main process of each cluster, which leads its process group, by the cluster's name."""
        leaders = [pid for pid in self.pids("cluster", name=name) if group_of(pid) == pid]
        return {variable(pid, "Q_CLUSTER_NAME"): pid for pid in leaders}

    def until_clusters_run(self, *, name: str = "worker") -> dict[str, int]:
        """Waits until both clusters have all their processes; returns their main processes."""

        def run() -> bool:
            return {cluster: len(descendants(pid)) for cluster, pid in self.clusters(name=name).items()} == {
                "short": 5,
                "training": 4,
            }

        self.until("both clusters run", run)
        return self.clusters(name=name)


class Web:
    """A client of the web server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, **body: Any) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return response.status, dict(response.headers), json.loads(response.read())
        finally:
            connection.close()

    def status(self, method: str, path: str, **body: Any) -> int:
        """The status of the response; 0 if there is none."""
        try:
            return self.ask(method, path, **body)[0]
        except OSError:
            return 0


def write_prices(folder: Path, tickers: Sequence[str] = TICKERS, *, sessions: int = BARS) -> None:
    """Simulated bars as a folder of CSV files, up to the last completed session."""
    folder.mkdir(parents=True, exist_ok=True)
    through = last_completed_session("XNYS", now=timezone.now())
    for number, ticker in enumerate(tickers):
        history = Simulation(seed=number).fetch("SAMPLE1", since=None, through=through)
        history.bars[-sessions:].assign(adj_close="").to_csv(folder / f"{ticker}.csv", date_format="%Y-%m-%d")


def is_running(training: Training, *, after_fence: int = 0) -> bool:
    """Whether it is running, with a later fence than this."""
    training.refresh_from_db()
    return training.state == TrainingState.RUNNING and training.fence > after_fence


def is_being_fitted(training: Training) -> bool:
    """Whether a trainer works on it."""
    return is_running(training) and training.stage not in ("", "starting", "prices", "features")


def is_unfinished(training: Training) -> bool:
    """Whether it is queued or running."""
    training.refresh_from_db()
    return training.is_active


def is_in_first_half(training: Training) -> bool:
    """Whether a trainer works on it and is far from publishing."""
    return is_being_fitted(training) and training.progress < 0.5


def has_moved_on(training: Training, *, fence: int) -> bool:
    """Whether it has ended, is queued, or runs with a later fence."""
    training.refresh_from_db()
    return training.state != TrainingState.RUNNING or training.fence > fence


def is_past(moment: float) -> bool:
    """Whether it is later than this moment of the monotonic clock."""
    return time.monotonic() > moment


def media() -> Path:
    """The folder of all versions' folders."""
    return Path(settings.MEDIA_ROOT) / "models"


def stored(name: str) -> bytes | None:
    """The bytes of a file below that folder; None if there is none."""
    path = media() / name
    return path.read_bytes() if path.exists() else None
