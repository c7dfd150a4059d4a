"""The admin's pages of trainings, daily jobs, workers and price sources."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Model
from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format
from pytest_django import Settings

from forecasting.models import JobRun, Training, Upstream, WorkerProcess
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.upstream import BreakerState
from tests.admin_pages import AS_OF, Rows, one_of_each, page, text_of
from tests.factories import make_symbol, make_training, make_upstream, make_worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows() -> Rows:
    """One row of each table."""
    return one_of_each()


def test_a_trainings_error_is_listed(admin_client: Client, rows: Rows) -> None:
    assert "Only 12 bars, 490 are needed." in text_of(admin_client, page(Training, "changelist"))


@pytest.mark.parametrize("kind", ["change", "changelist"])
def test_a_training_for_lost_performance_shows_what_was_lost(admin_client: Client, kind: str) -> None:
    figures = "Version 1: in 40 sessions its quantile loss was 1.35 times that of its backtest."
    training = make_training(make_symbol(), reason=TrainingReason.PERFORMANCE_LOST, figures=figures)
    text = text_of(admin_client, page(Training, kind, *([training.pk] if kind == "change" else [])))
    assert figures in text
    assert "performance lost" in text


def test_a_running_trainings_progress_is_listed(admin_client: Client) -> None:
    make_training(make_symbol(), state=TrainingState.RUNNING, progress=0.42, stage="fit")

    assert "42 % fit" in text_of(admin_client, page(Training, "changelist"))


def test_a_job_runs_report_is_readable(admin_client: Client, rows: Rows) -> None:
    assert "&quot;scored&quot;: 4711" in text_of(admin_client, page(JobRun, "change", rows[JobRun].pk))


def test_an_incomplete_job_run_is_listed_with_its_figures_and_the_reason(admin_client: Client) -> None:
    report = {"symbols": 12, "untried": 22, "not_synced": {"NOPE": "unknown"}, "scored": 7, "forecasts": 31, "retrainings": 3}
    reason = "the price source is paused until 2026-11-27 14:10 UTC, because it refuses more requests"
    JobRun.objects.create(job="daily", date=AS_OF, state=JobState.INCOMPLETE, report=report, error=reason)

    text = text_of(admin_client, page(JobRun, "changelist"))

    assert ">incomplete 12/34</span>" in text
    assert reason in text
    figures = {"synced": "11", "scored": "7", "forecast": "31", "retrained": "3"}
    assert all(f'field-{name}">{figure}<' in text for name, figure in figures.items())


@pytest.mark.parametrize("model", [Training, JobRun, WorkerProcess])
def test_lists_of_background_work_say_since_when_no_worker_runs(admin_client: Client, model: type[Model]) -> None:
    make_worker()
    assert "No worker" not in text_of(admin_client, page(model, "changelist"))
    WorkerProcess.objects.update(seen_at=datetime(2025, 6, 2, 11, 14, tzinfo=UTC))
    assert "No worker since 2025-06-02 11:14 UTC." in text_of(admin_client, page(model, "changelist"))


def test_a_process_that_was_not_seen_lately_is_gone(admin_client: Client) -> None:
    make_worker(seen_s=1000)
    assert text_of(admin_client, page(WorkerProcess, "changelist")).count(">gone</span>") == 3


def test_a_training_that_waits_for_a_worker_shows_no_expected_wait(admin_client: Client) -> None:
    make_training(make_symbol("LASTED"), state=TrainingState.SUCCEEDED)
    training = make_training(make_symbol())
    assert "No worker has run yet." in text_of(admin_client, page(Training, "change", training.pk))
    make_worker()
    assert "place 1, ends in " in text_of(admin_client, page(Training, "change", training.pk))


def test_the_price_source_shows_why_and_until_when_it_is_left_alone(admin_client: Client, rows: Rows) -> None:
    upstream = rows[Upstream]
    assert isinstance(upstream, Upstream)
    for address in (page(Upstream, "changelist"), page(Upstream, "change", upstream.pk)):
        text = text_of(admin_client, address)
        assert ">paused</span>" in text
        assert "Yahoo Finance refuses more requests for now" in text
        assert date_format(timezone.localtime(upstream.open_until), "DATETIME_FORMAT") in text


@pytest.mark.parametrize("kind", ["change", "changelist"])
def test_a_price_source_whose_pause_is_over_may_be_asked_again(admin_client: Client, kind: str) -> None:
    ended = timezone.now() - timedelta(minutes=5)
    upstream = make_upstream(state=BreakerState.OPEN, opened_at=ended - timedelta(minutes=15), open_until=ended)
    text = text_of(admin_client, page(Upstream, kind, *([upstream.pk] if kind == "change" else [])))
    assert f">may be asked again since {date_format(timezone.localtime(ended), 'DATETIME_FORMAT')}</span>" in text
    assert ">paused</span>" not in text


@pytest.mark.parametrize(
    ("source", "told"), [("yahoo", "Configured: yahoo"), ("csv", "Configured: csv, which needs no network and has no rate limit")]
)
def test_the_list_of_price_sources_names_the_configured_one(
    admin_client: Client, settings: Settings, source: str, told: str
) -> None:
    settings.PRICE_SOURCE = source
    make_upstream()
    text = text_of(admin_client, page(Upstream, "changelist"))
    assert f"<h2>{told}</h2>" in text
    assert ("icon-yes" in text) == (source == "yahoo")
