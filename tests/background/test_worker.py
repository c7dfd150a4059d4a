"""The worker with real clusters and trainers: trainings succeed, and healthy clusters keep running. See also tests/chaos."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

from forecasting.background import daily
from forecasting.models import JobRun, ModelVersion, Training, WorkerProcess
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingState
from forecasting.pipeline.serving import artifacts
from forecasting.prices.calendars import last_completed_session
from forecasting.registry import models_root
from forecasting.runtime.processes import wait_for
from forecasting.training import requests as training_requests
from forecasting.training.workers import CLUSTERS, absence
from tests.factories import make_claimed, make_symbol
from tests.fake_yahoo import FakeYahoo, generated_bars, unknown
from tests.running import process_ids, started

pytestmark = pytest.mark.django_db(transaction=True)


def in_state(training: Training, *states: TrainingState) -> bool:
    training.refresh_from_db()
    return training.state in states


def leaders(folder: Path) -> list[int]:
    """The main processes of the clusters."""
    return [pid for pid in process_ids(folder, command="cluster") if os.getpgid(pid) == pid]


def test_it_trains_on_prices_from_yahoo_and_runs_the_daily_job(tmp_path: Path) -> None:
    symbols = (make_symbol("PETR4.SA"), make_symbol("PETR44.SA"))
    training, mistyped = (training_requests.request_one(symbol, by="ana") for symbol in symbols)
    with FakeYahoo() as yahoo:
        yahoo.scenarios["PETR44.SA"] = unknown
        last = last_completed_session("BVMF", now=timezone.now())
        yahoo.bars["PETR4.SA"] = generated_bars("PETR4.SA", first=last - timedelta(days=1000), last=last)
        with started("worker", tmp_path, PRICE_SOURCE="yahoo", YAHOO_URL=yahoo.url):
            assert wait_for(lambda: in_state(mistyped, TrainingState.FAILED), seconds=90)
            assert wait_for(lambda: in_state(training, TrainingState.SUCCEEDED), seconds=90), training.error
            assert wait_for(lambda: JobRun.objects.filter(state=JobState.SUCCEEDED).exists(), seconds=30)
    assert "has no such symbol" in mistyped.error
    version = ModelVersion.objects.get(training=training)
    assert artifacts.read(models_root() / version.folder, version.artifact_files)
    assert (training.attempts, training.progress, version.data_end) == (1, 1.0, last)
    assert JobRun.objects.get().date == daily.due_date()
    assert Schedule.objects.filter(name="daily job").count() == 1
    assert process_ids(tmp_path) == []


def test_clusters_that_answer_keep_running_leave_heartbeats_and_a_second_worker_is_refused(tmp_path: Path) -> None:
    with started("worker", tmp_path, HEARTBEAT_SECONDS="1", HANG_SECONDS="10"):
        assert wait_for(lambda: len(leaders(tmp_path)) == 2, seconds=60)
        clusters = leaders(tmp_path)
        assert wait_for(lambda: not absence(*CLUSTERS), seconds=60)
        beats = dict(WorkerProcess.objects.values_list("cluster", "pid"))
        assert {beats.pop("short"), beats.pop("training")} == set(clusters)
        assert beats.pop("") == process_ids(tmp_path, command="worker")[0]
        with started("worker", tmp_path) as second:
            assert wait_for(lambda: second.ended() is not None, seconds=60)
            assert second.ended() == 1
        assert "Another worker already runs" in (tmp_path / "worker.log").read_text()
        assert leaders(tmp_path) == clusters
    assert process_ids(tmp_path) == []


def test_a_cluster_that_keeps_ending_is_restarted_after_longer_and_longer_pauses(tmp_path: Path) -> None:
    ends: list[float] = []

    def fall_again() -> bool:
        for pid in leaders(tmp_path):
            os.kill(pid, signal.SIGKILL)
            ends.append(time.monotonic())
        return len(ends) >= 6  # both clusters, three times

    with started("worker", tmp_path) as worker:
        assert wait_for(fall_again, seconds=60)
        assert absence("short") == "No worker has run yet."
        assert ends[-1] - ends[0] > 1 + 3  # pauses of a second, then of three
        assert worker.ended() is None
    assert process_ids(tmp_path) == []


def test_a_cluster_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    with started("worker", tmp_path, HEARTBEAT_SECONDS="1") as worker:
        assert wait_for(lambda: not absence("short"), seconds=60)
        limits = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        os.kill(WorkerProcess.objects.get(cluster="short").pid, signal.SIGKILL)
        told = "cluster short cannot be started: Too many open files"
        assert wait_for(lambda: told in (tmp_path / "worker.log").read_text(), seconds=60)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, limits)
        assert wait_for(lambda: len(leaders(tmp_path)) == 2, seconds=60)
        assert worker.ended() is None


def test_tasks_of_a_cluster_that_ended_while_the_database_did_not_answer_are_returned_when_it_does(tmp_path: Path) -> None:
    async_task("time.sleep", 600, cluster="short")
    task = OrmQ.objects.get()

    def locked_until() -> datetime:
        lock: datetime = OrmQ.objects.get(pk=task.pk).lock
        return lock

    with started("worker", tmp_path, HEARTBEAT_SECONDS="1", PGOPTIONS="-c lock_timeout=500ms"):
        assert wait_for(lambda: locked_until() > timezone.now() + timedelta(minutes=5), seconds=60)
        assert wait_for(lambda: not absence("short"), seconds=60)
        first = locked_until()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {OrmQ._meta.db_table} IN ACCESS EXCLUSIVE MODE")
            os.kill(WorkerProcess.objects.get(cluster="short").pid, signal.SIGKILL)
            told = "the database is unreachable: canceling statement due to lock timeout"
            assert wait_for(lambda: (tmp_path / "worker.log").read_text().rfind(told) > 0, seconds=60)
            assert "cluster short ended with status -9" in (tmp_path / "worker.log").read_text()
        assert wait_for(lambda: locked_until() > first, seconds=60)  # another cluster has taken it


@contextmanager
def suspended(folder: Path, *, seconds: float) -> Iterator[None]:
    """Stops all processes for so long, as a paused container does; the worker goes on first."""
    processes, worker = process_ids(folder), process_ids(folder, command="worker")
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    yield
    assert wait_for(lambda: time.monotonic() - began > seconds, seconds=2 * seconds)
    for pid in (*worker, *processes):
        os.kill(pid, signal.SIGCONT)


def beats(**values: Any) -> set[object]:
    return set(WorkerProcess.objects.filter(**values).values_list("seen_at"))


def test_a_worker_that_was_suspended_with_its_clusters_keeps_them_and_their_trainings(tmp_path: Path) -> None:
    with started("worker", tmp_path, HEARTBEAT_SECONDS="1", HANG_SECONDS="6", LEASE_SECONDS="20"):
        assert wait_for(lambda: len(leaders(tmp_path)) == 2 and not absence(*CLUSTERS), seconds=60)
        clusters = leaders(tmp_path)
        with suspended(tmp_path, seconds=15):
            before = beats()
            training = make_claimed(make_symbol("SAMPLE9"))  # by somebody who sleeps, too
            Training.objects.update(lease_expires_at=timezone.now())
        assert wait_for(lambda: bool(beats(cluster="") - before), seconds=30)
        assert in_state(training, TrainingState.RUNNING)
        assert wait_for(lambda: not before & beats(), seconds=30)
        assert leaders(tmp_path) == clusters
        assert "it is restarted" not in (tmp_path / "worker.log").read_text()
        assert wait_for(lambda: in_state(training, TrainingState.QUEUED), seconds=60)  # nobody has renewed the lease
    assert process_ids(tmp_path) == []
