"""When the daily job runs: once a date, which begins at its hour; resumed after a failure; in parts."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings
from time_machine import TimeMachineFixture

from forecasting.background import daily, daily_sync, tasks
from forecasting.models import Forecast, JobRun, PriceBar
from forecasting.models.jobs import JobState
from forecasting.models.locks import Lock
from tests.background.test_daily import THURSDAY, listed, modelled
from tests.factories import make_forecast, make_version
from tests.racing import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("folder")]


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


# Once a date


def test_the_daily_job_keeps_a_report(folder: Path) -> None:
    listed(folder, "AAA")
    assert tasks.daily_job() == "done"
    run = JobRun.objects.get()
    assert (run.job, run.date, run.state, run.error) == ("daily", daily.due_date(), JobState.SUCCEEDED, "")
    assert run.report["symbols"] == 1
    assert run.finished_at


def test_the_daily_job_is_done_once_a_date(folder: Path) -> None:
    tasks.daily_job()
    listed(folder, "AAA")
    assert tasks.daily_job() == "already done"
    assert not PriceBar.objects.exists()


def test_yesterdays_run_does_not_count_for_today() -> None:
    JobRun.objects.create(job="daily", date=daily.due_date() - timedelta(days=1), state=JobState.SUCCEEDED)
    assert tasks.daily_job() == "done"


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.FAILED], ids=["killed", "failed"])
def test_a_run_that_was_killed_or_failed_is_continued(folder: Path, state: JobState) -> None:
    listed(folder, "AAA")
    JobRun.objects.create(job="daily", date=daily.due_date(), state=state, error="ValueError: it broke")
    assert tasks.daily_job() == "done"
    run = JobRun.objects.get()
    assert (run.state, run.error, run.report["symbols"]) == (JobState.SUCCEEDED, "", 1)


@pytest.mark.django_db(transaction=True)
def test_a_run_that_fails_says_why_and_the_next_one_succeeds(folder: Path) -> None:
    listed(folder, "AAA")
    execute("ALTER TABLE forecasting_pricebar ADD CONSTRAINT full_disk CHECK (date IS NULL)")
    try:
        with pytest.raises(Exception, match="full_disk"):
            tasks.daily_job()
    finally:
        execute("ALTER TABLE forecasting_pricebar DROP CONSTRAINT full_disk")
    run = JobRun.objects.get()
    assert run.state == JobState.FAILED
    assert run.error.startswith("IntegrityError: new row for relation")
    assert tasks.daily_job() == "done"


@pytest.mark.django_db(transaction=True)
def test_a_run_in_progress_elsewhere_is_left_to_it() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [Lock.DAILY])
        assert at_once([tasks.daily_job]) == ["in progress elsewhere"]
        assert not JobRun.objects.exists()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [Lock.DAILY])
    assert at_once([tasks.daily_job]) == ["done"]


@pytest.mark.django_db(transaction=True)
def test_workers_that_start_at_once_do_the_job_once(folder: Path) -> None:
    modelled(listed(folder, "AAA"))
    answers = at_once([tasks.daily_job] * 4)
    assert answers.count("done") == 1
    assert (JobRun.objects.count(), Forecast.objects.count()) == (1, 1)


def test_what_was_scored_and_retrained_is_counted_over_all_tasks_of_a_run(folder: Path) -> None:
    modelled(listed(folder, "AAA"), trained_days_ago=16)
    make_forecast(make_version(listed(folder, "BBB")), THURSDAY)
    tasks.daily_job()
    JobRun.objects.update(state=JobState.FAILED)
    tasks.daily_job()
    report = JobRun.objects.get().report
    assert (report["scored"], report["retrainings"], report["forecasts"]) == (1, 1, 2)


def test_only_a_run_that_did_not_succeed_is_resumed(folder: Path) -> None:
    assert tasks.resume_daily_job() == "nothing to resume"
    run = JobRun.objects.create(job="daily", date=daily.due_date(), state=JobState.FAILED, error="it broke")
    assert tasks.resume_daily_job() == "done"
    run.refresh_from_db()
    assert (run.state, run.error) == (JobState.SUCCEEDED, "")


@pytest.mark.parametrize("hour", [3, 21])
def test_a_date_begins_at_the_hour_of_the_daily_job(
    folder: Path, settings: Settings, time_machine: TimeMachineFixture, hour: int
) -> None:
    settings.DAILY_TASK_HOUR, eve = hour, datetime(2025, 6, 2, hour - 1, 59, tzinfo=UTC)
    time_machine.move_to(eve)
    assert tasks.daily_job() == "done"  # a worker starts
    time_machine.move_to(eve + timedelta(minutes=1))
    assert tasks.daily_job() == "done"
    time_machine.move_to(eve + timedelta(hours=23))
    assert tasks.daily_job() == "already done"
    assert sorted(JobRun.objects.values_list("date", flat=True)) == [date(2025, 6, 1), date(2025, 6, 2)]


def test_a_run_goes_on_after_midnight(folder: Path, monkeypatch: pytest.MonkeyPatch, time_machine: TimeMachineFixture) -> None:
    listed(folder, "AAA")
    monkeypatch.setattr(daily_sync, "SLICE_SECONDS", -1)  # one step a task
    time_machine.move_to(datetime(2025, 6, 2, 23, 59, tzinfo=UTC))
    JobRun.objects.create(job="daily", date=date(2025, 6, 2), report={"steps_done": ["sync"]})
    assert tasks.daily_job() == "not finished"
    time_machine.move_to(datetime(2025, 6, 3, 3, 1, tzinfo=UTC))
    while (task := OrmQ.objects.order_by("pk").last()) and tasks.daily_job(*task.args()) == "not finished":
        pass
    assert JobRun.objects.get().state == JobState.SUCCEEDED


def test_a_run_that_failed_before_midnight_is_resumed(folder: Path, time_machine: TimeMachineFixture) -> None:
    JobRun.objects.create(job="daily", date=date(2025, 6, 2), state=JobState.FAILED, error="it broke")
    time_machine.move_to(datetime(2025, 6, 3, 0, 5, tzinfo=UTC))
    assert tasks.resume_daily_job() == "done"
    assert JobRun.objects.get().state == JobState.SUCCEEDED


def test_a_run_that_could_not_begin_while_the_one_before_ran_is_made_up_for(folder: Path, time_machine: TimeMachineFixture) -> None:
    JobRun.objects.create(job="daily", date=date(2025, 6, 2), state=JobState.SUCCEEDED)
    time_machine.move_to(datetime(2025, 6, 3, 3, 5, tzinfo=UTC))
    assert tasks.resume_daily_job() == "done"
    assert JobRun.objects.filter(date=date(2025, 6, 3), state=JobState.SUCCEEDED).exists()


# In parts


@pytest.mark.parametrize("batch", [1, 2])
def test_a_job_that_takes_longer_than_a_task_may_goes_on_in_the_next_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    for ticker in ("AAA", "BBB", "CCC"):
        modelled(listed(folder, ticker), trained_days_ago=16)
    daily_sync.sync({}, timezone.now())
    monkeypatch.setattr(daily, "BATCH", batch)
    monkeypatch.setattr(daily_sync, "SLICE_SECONDS", -1)  # one batch a task
    JobRun.objects.create(job="daily", date=daily.due_date(), report={"steps_done": ["sync"]})
    answers = [tasks.daily_job()]
    while answers[-1] == "not finished":
        answers.append(tasks.daily_job())
    report = JobRun.objects.get().report
    assert (answers[-1], report["forecasts"], report["retrainings"]) == ("done", 3, 3)
    assert len(answers) > 6 // batch
    assert not {"steps_done", "forecast_to", "retrained_to"} & report.keys()
    assert Forecast.objects.count() == 3


def test_a_run_that_failed_goes_on_with_the_step_that_failed(folder: Path) -> None:
    listed(folder, "AAA")
    JobRun.objects.create(job="daily", date=daily.due_date(), state=JobState.FAILED, report={"steps_done": ["sync"]})
    assert tasks.daily_job() == "done"
    assert not PriceBar.objects.exists()
