"""Runs cases in parallel, each with its own process, database and folder, and collects their reports."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from forecasting.runtime.processes import ProcessGroup, StopSignal, wait_for
from stockpred.embedded_postgres.server import EmbeddedPostgres
from tests.chaos.cases import Case
from tests.chaos.site import FAST, write_prices

CASE_SECONDS = 1800.0
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


@dataclass(frozen=True, slots=True)
class Trial:
    """A case with its number of repetitions and its timings."""

    case: Case
    count: int
    fast: bool


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of a trial."""

    trial: Trial
    seconds: float
    problems: list[str]
    measured: list[dict[str, Any]] = field(default_factory=list)
    trainings: int = 0
    samples_per_second: float = 0.0
    folder: str = ""


def short_form(cases: Sequence[Case]) -> list[Trial]:
    """Each case that takes less than minutes, a few times, with fast timings."""
    return [Trial(case, case.short, fast=True) for case in cases if case.short]


def long_form(cases: Sequence[Case], *, factor: float) -> list[Trial]:
    """Each case with its repetitions times `factor`; one of them with default timings if `real_times`."""
    trials = []
    for case in cases:
        count = max(1, round(case.long * factor))
        if case.real_times:
            trials.append(Trial(case, 1, fast=False))
            count -= 1
        while count > 0:
            trials.append(Trial(case, min(count, case.shard), fast=True))
            count -= trials[-1].count
    return sorted(trials, key=lambda trial: -trial.count / trial.case.shard)  # the long ones first


def run(trials: Sequence[Trial], *, at_once: int) -> Iterator[TrialResult]:
    """The result of each trial, in their order."""
    stop = StopSignal()
    with _suite_folder() as folder, _server(folder / "postgres") as server, ThreadPoolExecutor(at_once) as threads:
        write_prices(folder / "prices")
        futures = [threads.submit(_try, trial, folder / f"trial-{n}", server, stop) for n, trial in enumerate(trials)]
        for future in futures:
            yield future.result()


@contextmanager
def _suite_folder() -> Iterator[Path]:
    parent = Path(settings.STATE_DIR) / "chaos"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    folder.chmod(0o755)  # if root runs it, the database runs as another user
    yield folder
    if not any(folder.glob("trial-*")):
        shutil.rmtree(folder)  # otherwise keep the logs of the failures


@contextmanager
def _server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A Postgres server for the suite only, with a migrated database."""
    server = EmbeddedPostgres.at(folder)
    server.ensure()
    try:
        env = os.environ | {"DATABASE_URL": url(server, server.database_name), "DJANGO_SETTINGS_MODULE": "tests.settings"}
        subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], env=env, check=True, capture_output=True)
        yield server
    finally:
        server.destroy()


def _execute(server: EmbeddedPostgres, statement: str) -> None:
    with psycopg.connect(url(server, "postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())


def url(server: EmbeddedPostgres, name: str) -> str:
    """The address of a database of the server."""
    return f"postgres://{server.user}@/{name}?host={server.socket}&port=5432"


def _try(trial: Trial, folder: Path, server: EmbeddedPostgres, stop: StopSignal) -> TrialResult:
    if stop.wait(0):
        return TrialResult(trial, seconds=0.0, problems=["interrupted before it began"])
    began = time.monotonic()
    folder.mkdir()
    with _database(trial, folder, server) as address:
        variables = {
            "ENV_FILE": os.devnull,
            "DJANGO_SETTINGS_MODULE": "stockpred.settings",
            "DATABASE_URL": address,
            "SECRET_KEY": "of the fault suite",
            "PRICE_SOURCE": "csv",
            "PRICE_DIR": str(folder.parent / "prices"),
            "STATE_DIR": str(folder),
            "MEDIA_ROOT": str(folder / "media"),
            "LOG_DIR": str(folder / "logs"),
            "ENABLE_LOGS": "True",
            "REPORT": str(folder / "report.json"),
            "OWN_SERVER": str(folder / "postgres"),
            **(FAST if trial.fast else {}),
        }
        command = [sys.executable, "-m", "tests.chaos.one", str(trial.case.number), str(trial.count)]
        process = ProcessGroup(trial.case.fault, command, env=variables, output=folder / "case.log")
        wait_for(lambda: process.ended() is not None or stop.wait(0), seconds=CASE_SECONDS, every_s=0.2)
        process.stop(grace_s=60)
    return _result(trial, folder, seconds=time.monotonic() - began, status=process.ended())


def _result(trial: Trial, folder: Path, *, seconds: float, status: int | None) -> TrialResult:
    file = folder / "report.json"
    report = json.loads(file.read_text()) if file.exists() else {"problems": []}
    problems = report["problems"] or ([f"it ended with status {status}"] if status else [])
    if not problems:
        shutil.rmtree(folder)
    return TrialResult(
        trial=trial,
        seconds=round(seconds, 1),
        problems=problems,
        measured=report.get("measured", []),
        trainings=report.get("trainings", 0),
        samples_per_second=round(report.get("samples", 0) / max(0.1, report.get("watched_s", 0.0)), 1),
        folder=str(folder),
    )


@contextmanager
def _database(trial: Trial, folder: Path, server: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database for one trial: a copy, or the one on a server of its own where the trial stops it."""
    if trial.case.own_server:
        with _server(folder / "postgres") as own:
            yield url(own, own.database_name)
        return
    name = folder.name.replace("-", "_")
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {server.database_name}")
    try:
        yield url(server, name)
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")
