"""Counters that the processes of the web server share: each one writes to files of its own, and a scrape adds them up.

prometheus-client names these files after the process. The files of dead processes would then grow in number with each restart. So
they are named after a slot: a process takes the first one that no other holds, and continues the counts in its files.
"""

import fcntl
import itertools
import logging
import os
from pathlib import Path

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # environment variable of the library
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # upper limits of the histogram
FILE_BYTES = 2**20  # of the counters of a process, and of its histograms: for some 400 routes and methods
ADMIN = "admin/"  # its pages are one route: they are many, and few people use them

logger = logging.getLogger(__name__)


class Slots:
    """The slots of a folder. The kernel releases that of a process which ends, for whatever reason."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._mine: dict[int, int] = {}  # slot by process: a fork needs its own

    def number(self) -> int:
        """This process's slot, taken at the first call."""
        process = os.getpid()
        if process not in self._mine:
            self._mine = {process: next(slot for slot in itertools.count() if self._lock(slot) is not None)}
        return self._mine[process]

    def reserve(self, *kinds: str) -> None:
        """Takes up the space of this process's files. On a full disk, a write to a mapped file would kill it (SIGBUS).

        Raises OSError.
        """
        for kind in kinds:
            descriptor = os.open(self._folder / f"{kind}_{self.number()}.db", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, FILE_BYTES)
            finally:
                os.close(descriptor)

    def forget_dead(self) -> None:
        """Removes the counts of slots that no process holds: those of an earlier run, perhaps of another release."""
        for file in self._folder.glob("*.lock"):
            if (descriptor := self._lock(int(file.stem))) is not None:
                for counts in self._folder.glob(f"*_{file.stem}.db"):
                    counts.unlink()
                os.close(descriptor)

    def _lock(self, slot: int) -> int | None:
        """The descriptor that holds the slot until it is closed; None if another process holds it."""
        descriptor = os.open(self._folder / f"{slot}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


class Requests:
    """Counters and histogram of one process."""

    def __init__(self, folder: Path) -> None:
        """In files below `folder`, from now on. Raises OSError if there is no room for them."""
        slots = Slots(folder)
        slots.reserve("counter", "histogram")
        os.environ[FOLDER] = str(folder)
        values.ValueClass = values.MultiProcessValue(slots.number)
        nowhere = CollectorRegistry()  # a scrape reads the files of all processes instead
        self._count = Counter("stockpred_http_requests", "Requests answered.", ("method", "route", "status"), registry=nowhere)
        self._seconds = Histogram(
            "stockpred_http_request_duration_seconds",
            "Time from the request's last byte read until the answer was ready.",
            ("method", "route"),
            buckets=SECONDS,
            registry=nowhere,
        )
        self._loads = Counter(
            "stockpred_model_loads", "Models read from files, because a process had not kept them.", registry=nowhere
        )
        self._lookups = Counter("stockpred_model_lookups", "Models that a forecast needed.", registry=nowhere)

    def answered(self, method: str, route: str, status: int, *, seconds: float) -> None:
        """Counts a request."""
        route = ADMIN if route.startswith(ADMIN) else route
        self._count.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def looked_up(self) -> None:
        """Counts a model that a forecast needs."""
        self._lookups.inc()

    def loaded(self) -> None:
        """Counts a model that is read from its files."""
        self._loads.inc()


_requests: Requests | None = None


def folder() -> Path:
    """Where the processes of this machine count."""
    return Path(settings.STATE_DIR) / "metrics"


def requests() -> Requests | None:
    """The counters of this process; None before `count_requests`."""
    return _requests


def count_requests() -> Requests | None:
    """Makes this process count, if the disk has room."""
    global _requests
    try:
        _requests = _requests or Requests(folder())
    except OSError as error:
        logger.error("requests are not counted: %s", error)
    return _requests


def of_all_processes(registry: CollectorRegistry) -> None:
    """Adds the counters of all processes of this machine to a scrape."""
    if folder().is_dir():
        MultiProcessCollector(registry, path=str(folder()))
