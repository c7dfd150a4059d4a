"""GET /health, /health/live and /health/ready"""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from forecasting import readiness
from forecasting.api import health
from forecasting.models import JobRun, WorkerProcess
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingState
from forecasting.models.upstream import BreakerState
from tests.api.conftest import Send
from tests.factories import make_claimed, make_symbol, make_training, make_upstream, make_worker

pytestmark = pytest.mark.django_db

LONG_AGO = timezone.now() - timedelta(days=30)


@pytest.fixture(autouse=True)
def _service() -> None:
    """A service of a month, with a worker and today's daily job."""
    make_worker()
    MigrationRecorder(connection).migration_qs.update(applied=LONG_AGO)
    ran(timezone.now())


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REMEMBERED_SECONDS", 1e-9)


def ran(at: Any, **values: Any) -> JobRun:
    """The only daily run, started and finished at that time."""
    JobRun.objects.all().delete()
    run = JobRun.objects.create(job="daily", date=at.date(), **({"state": JobState.SUCCEEDED, "finished_at": at} | values))
    JobRun.objects.update(started_at=at)
    return run


@pytest.fixture
def failing(get: Send) -> Callable[[], dict[str, str]]:
    """The texts of the parts that do not work, by name; an empty dictionary if the service is ready."""

    def ask() -> dict[str, str]:
        ready = all(part.is_ready for part in readiness.parts().values())
        answer = get("/health/ready", status=200 if ready else 503)
        parts = answer["parts"] if ready else answer["details"]
        return {name: part["text"] for name, part in parts.items() if part["status"] in {"failed", "unknown"}}

    return ask


Failing = Callable[[], dict[str, str]]


def test_a_healthy_service_reports_ok(client: APIClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "prices": "sample"}


def test_a_process_lives_without_a_query(client: APIClient, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        assert client.get("/health/live").json() == {"status": "ok"}


def test_a_service_whose_parts_all_work_is_ready(get: Send, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    get("/health/ready")  # reads the migrations of the code, once a process
    with django_assert_num_queries(6):
        answer = get("/health/ready")
    assert answer["status"] == "ok"
    assert {part["status"] for part in answer["parts"].values()} == {"ok"}


def test_without_a_worker_it_is_not_ready_and_says_since_when(failing: Failing, get: Send) -> None:
    WorkerProcess.objects.update(seen_at=LONG_AGO)
    assert failing() == {"worker": f"No worker since {LONG_AGO:%Y-%m-%d %H:%M} UTC."}
    assert get("/health/ready", status=503)["error"] == "Not ready: worker."


def test_before_the_migrations_of_this_release_it_is_not_ready(failing: Failing) -> None:
    newest = MigrationRecorder(connection).migration_qs.filter(app="forecasting").order_by("-name").first()
    assert newest
    newest.delete()
    found = failing()
    assert found.pop("migrations") == f"Not applied: forecasting.{newest.name}. Run `manage.py migrate`."
    assert {*found} == {"worker", "queue", "daily_job", "price_source"}


def test_a_task_that_nobody_takes_is_noticed(failing: Failing) -> None:
    OrmQ.objects.create(key="short", payload="", lock=timezone.now() - readiness.STANDSTILL + timedelta(minutes=1))
    assert failing() == {}
    OrmQ.objects.update(lock=timezone.now() - readiness.STANDSTILL - timedelta(minutes=1))
    assert failing() == {"queue": "A task has waited for more than 15 minutes."}


def test_a_training_that_waits_long_while_none_runs_is_noticed(failing: Failing) -> None:
    make_training(make_symbol("SAMPLE1"), not_before=timezone.now() - timedelta(minutes=16))
    assert failing() == {"queue": "A training has waited for more than 15 minutes, although none runs."}


@pytest.mark.parametrize("other", ["runs", "has just ended"])
def test_a_training_that_waits_behind_others_is_no_standstill(failing: Failing, other: str) -> None:
    make_training(make_symbol("SAMPLE1"), not_before=timezone.now() - timedelta(hours=3))
    if other == "runs":
        make_claimed(make_symbol("SAMPLE2"))
    else:
        make_training(make_symbol("SAMPLE2"), state=TrainingState.SUCCEEDED)
    assert failing() == {}


@pytest.mark.parametrize(
    ("hours", "values", "ready"),
    [
        (25, {}, True),
        (27, {}, False),
        (1, {"state": JobState.FAILED, "error": "it broke"}, False),
        (1, {"state": JobState.RUNNING, "finished_at": None}, True),
        (27, {"state": JobState.RUNNING, "finished_at": None}, False),
    ],
)
def test_the_daily_job_is_overdue_after_26_hours(failing: Failing, hours: int, values: dict[str, Any], ready: bool) -> None:
    run = ran(timezone.now() - timedelta(hours=hours), **values)
    assert failing() == ({} if ready else {"daily_job": f"The last run is that of {run.date}: {run.state}."})


def test_a_new_service_needs_no_daily_run_yet(failing: Failing) -> None:
    JobRun.objects.all().delete()
    assert failing() == {"daily_job": "It has never run."}
    MigrationRecorder(connection).migration_qs.update(applied=timezone.now())
    assert failing() == {}


def test_an_incomplete_daily_run_and_a_paused_price_source_are_warnings(get: Send, settings: Settings) -> None:
    settings.PRICE_SOURCE = "yahoo"
    make_upstream(state=BreakerState.OPEN, reason="it refuses more requests")
    report = {"symbols": 12, "untried": 22}
    run = ran(timezone.now(), state=JobState.INCOMPLETE, report=report, error="At AAA: out of reach")
    parts = get("/health/ready")["parts"]
    assert parts["daily_job"] == {"status": "warning", "text": f"Run of {run.date}: incomplete 12/34 (At AAA: out of reach)."}
    assert parts["price_source"]["status"] == "warning"
    assert parts["price_source"]["text"].startswith("The price source is paused until ")


def test_model_files_that_cannot_be_written_are_noticed(failing: Failing, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.MEDIA_ROOT = tmp_path / "file"
    assert failing() == {"media": "Model files cannot be written: Not a directory."}


def test_a_folder_of_models_that_cannot_be_looked_at_is_noticed(failing: Failing, settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / (300 * "x")
    assert failing() == {"media": "Model files cannot be written: File name too long."}


def test_a_check_leaves_no_file(failing: Failing, settings: Settings) -> None:
    folder = Path(settings.MEDIA_ROOT) / "models"
    folder.mkdir(parents=True)
    assert failing() == {}
    assert list(folder.iterdir()) == []


def test_without_a_database_the_process_lives_but_is_not_ready(without_database: dict[str, Any]) -> None:
    live, ready = (without_database["answers"][f"/health/{name}"] for name in ("live", "ready"))
    assert live["status"] == 200
    answer = json.loads(ready["text"])
    assert answer["error"] == "Not ready: database, migrations, worker, queue, daily_job, price_source."
    assert answer["details"]["database"] == {"status": "failed", "text": "It cannot be reached."}


def test_many_requests_at_once_look_once(
    get: Send, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(health, "REMEMBERED_SECONDS", 1e9)
    first = get("/health/ready")
    with django_assert_num_queries(0):
        assert get("/health/ready") == first
