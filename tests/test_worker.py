"""The worker with its real clusters and trainers: trainings get done, kills are survived, a stop gives everything back."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from django_q.models import Schedule

from forecasting import training_queue
from forecasting.models import JobRun, ModelVersion, Training
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingState
from forecasting.pipeline import artifacts
from forecasting.pipeline.calendars import last_completed_session
from forecasting.registry import models_root
from stockpred.processes import wait_for
from tests.fake_yahoo import FakeYahoo, generated_bars, unknown
from tests.running import process_ids, started

pytestmark = pytest.mark.django_db(transaction=True)


def in_state(training: Training, *states: TrainingState) -> bool:
    training.refresh_from_db()
    return training.state in states


def is_being_fitted(training: Training) -> bool:
    return in_state(training, TrainingState.RUNNING) and training.stage not in ("", "starting", "prices")


def says_why(training: Training) -> bool:
    training.refresh_from_db()
    return training.error != ""


def leaders(folder: Path) -> list[int]:
    """The main processes of the clusters."""
    return [pid for pid in process_ids(folder, command="cluster") if os.getpgid(pid) == pid]


def test_it_trains_on_prices_from_yahoo_and_runs_the_daily_job(tmp_path: Path) -> None:
    training = training_queue.request_one("PETR4.SA")
    mistyped = training_queue.request_one("PETR44.SA")
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
    assert JobRun.objects.get().date == timezone.localdate()
    assert {"daily job", "daily job again, where it failed"} == set(Schedule.objects.values_list("name", flat=True))
    assert process_ids(tmp_path) == []


def test_a_killed_trainer_costs_one_attempt_and_is_visible(tmp_path: Path) -> None:
    training = training_queue.request_one("SAMPLE2")
    with started("worker", tmp_path):
        assert wait_for(lambda: is_being_fitted(training), seconds=60)
        (trainer,) = process_ids(tmp_path, command="trainer")
        os.kill(trainer, signal.SIGKILL)
        assert wait_for(lambda: says_why(training), seconds=5)
        assert training.error == "The trainer process ended: killed by SIGKILL."
        assert wait_for(lambda: is_being_fitted(training), seconds=90), training.error
        assert training.attempts == 2


def test_a_stopped_worker_puts_its_training_back_uncounted(tmp_path: Path) -> None:
    training = training_queue.request_one("SAMPLE3")
    with started("worker", tmp_path) as worker:
        assert wait_for(lambda: is_being_fitted(training), seconds=60)
        worker.ask_to_stop()
        assert wait_for(lambda: worker.ended() is not None, seconds=30)
        assert worker.ended() == 0
    assert in_state(training, TrainingState.QUEUED)
    assert training.attempts == 0
    assert process_ids(tmp_path) == []


def test_a_killed_worker_takes_its_clusters_and_trainer_along(tmp_path: Path) -> None:
    training = training_queue.request_one("SAMPLE4")
    with started("worker", tmp_path) as worker:
        assert wait_for(lambda: is_being_fitted(training), seconds=60)
        os.kill(worker.pid, signal.SIGKILL)
        assert wait_for(lambda: process_ids(tmp_path) == [], seconds=45)
    assert in_state(training, TrainingState.QUEUED)


def test_a_cluster_that_ends_is_started_again(tmp_path: Path) -> None:
    with started("worker", tmp_path) as worker:
        assert wait_for(lambda: len(leaders(tmp_path)) == 2, seconds=60)
        killed, other = leaders(tmp_path)
        os.kill(killed, signal.SIGKILL)
        assert wait_for(lambda: killed not in leaders(tmp_path) and len(leaders(tmp_path)) == 2, seconds=60)
        assert other in leaders(tmp_path)
        assert worker.ended() is None
