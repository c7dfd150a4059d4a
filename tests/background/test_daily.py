"""The daily job: what a run does, once per date, in slices."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings
from time_machine import TimeMachineFixture

from forecasting import market
from forecasting.background import daily, daily_sync, tasks
from forecasting.models import Forecast, JobRun, ModelVersion, PriceBar, Symbol, Training
from forecasting.models.jobs import JobState
from forecasting.models.locks import Lock
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingReason
from forecasting.models.versions import VersionState
from forecasting.training import pausing
from tests.factories import make_forecast, make_restatement, make_symbol, make_version
from tests.fake_yahoo import generated_bars
from tests.racing import at_once
from tests.small_model import publish_model
from tests.test_monitoring import serving

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("folder")]

THURSDAY, FRIDAY = date(2024, 6, 27), date(2024, 6, 28)
NOW = datetime(2024, 6, 28, 22, tzinfo=UTC)  # New York has closed


def listed(folder: Path, ticker: str) -> Symbol:
    """A symbol that the price source knows."""
    generated_bars(ticker, first=date(2023, 9, 1), last=FRIDAY).to_csv(folder / f"{ticker}.csv")
    return make_symbol(ticker)


def modelled(symbol: Symbol, *, trained_days_ago: int = 1, **values: Any) -> ModelVersion:
    """An active version of the small model, its files in place."""
    version = publish_model(symbol)
    ModelVersion.objects.filter(pk=version.pk).update(trained_at=timezone.now() - timedelta(days=trained_days_ago), **values)
    OrmQ.objects.all().delete()
    return version


def report_of_a_run() -> dict[str, Any]:
    """The report of a daily job that finished in one task."""
    report: dict[str, Any] = {}
    assert all(step.do(report, NOW) for step in daily.PLAN)
    return report


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


# One run


def test_it_syncs_every_symbol(folder: Path) -> None:
    symbols = [listed(folder, "AAA"), listed(folder, "BBB")]
    assert report_of_a_run()["symbols"] == 2
    assert all(market.bars(symbol).index[-1].date() == FRIDAY for symbol in symbols)


def test_it_forecasts_every_symbol_by_its_model_or_by_the_base(folder: Path) -> None:
    modelled(listed(folder, "AAA"))
    listed(folder, "BBB")
    assert report_of_a_run()["forecasts"] == 2
    kinds = {forecast.symbol.ticker: (forecast.version.kind, forecast.as_of) for forecast in Forecast.objects.all()}
    assert kinds == {"AAA": ("symbol", FRIDAY), "BBB": ("base", FRIDAY)}


def test_it_forecasts_more_symbols_than_fit_into_one_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "BATCH", 2)
    for number in range(5):
        modelled(listed(folder, f"AAA{number}"))
    assert report_of_a_run()["forecasts"] == Forecast.objects.count() == 5


def test_it_scores_due_forecasts(folder: Path) -> None:
    symbol = listed(folder, "AAA")
    make_forecast(make_version(symbol), THURSDAY)
    assert report_of_a_run()["scored"] == 1
    assert Forecast.objects.scored().get().as_of == THURSDAY


def test_it_requests_retraining_of_old_models_only(folder: Path) -> None:
    modelled(old := listed(folder, "AAA"), trained_days_ago=16)
    modelled(listed(folder, "BBB"), trained_days_ago=14)
    listed(folder, "CCC")
    assert report_of_a_run()["retrainings"] == 1
    training = Training.objects.active().get()
    assert (training.symbol, training.reason) == (old, TrainingReason.TOO_OLD)


def test_it_does_not_request_the_retraining_of_a_symbol_that_the_source_no_longer_knows(folder: Path) -> None:
    modelled(listed(folder, "AAA"), trained_days_ago=16)
    (folder / "AAA.csv").unlink()
    assert report_of_a_run()["retrainings"] == 0


def test_it_leaves_an_old_base_model_alone(folder: Path) -> None:
    make_version(None, trained_at=timezone.now() - timedelta(days=99))
    assert report_of_a_run()["retrainings"] == 0


def test_the_age_of_an_old_model_is_a_setting(folder: Path, settings: Settings) -> None:
    settings.MODEL_MAX_AGE_DAYS = 3
    modelled(listed(folder, "AAA"), trained_days_ago=4)
    assert report_of_a_run()["retrainings"] == 1


def test_a_failing_symbol_does_not_stop_the_others(folder: Path) -> None:
    modelled(listed(folder, "BBB"))
    missing = make_symbol("AAA")
    broken = make_version(listed(folder, "CCC"))
    report = report_of_a_run()
    assert (report["symbols"], report["forecasts"]) == (3, 2)
    assert report["not_synced"] == {missing.ticker: "no file for AAA in the price folder; add AAA.csv or check the symbol"}
    assert report["not_forecast"] == {}
    assert Forecast.objects.of_next_close().get(symbol=broken.symbol).version.kind == "base"
    assert broken.symbol
    assert market.bars(broken.symbol).index[-1].date() == FRIDAY


@pytest.mark.parametrize(("until", "asked"), [(NOW + timedelta(seconds=1), 0), (NOW, 1), (None, 1)])
def test_a_symbol_that_the_source_did_not_know_is_asked_for_again_once_that_answer_is_old(
    folder: Path, until: datetime | None, asked: int
) -> None:
    make_symbol("AAA", upstream_state=UpstreamState.UNKNOWN, unknown_until=until)
    assert report_of_a_run()["symbols"] == asked


def test_models_on_revised_bars_are_retrained(folder: Path) -> None:
    modelled(symbol := listed(folder, "AAA"))
    make_restatement(symbol)
    modelled(other := listed(folder, "BBB"), restatement=make_restatement(other))
    assert report_of_a_run()["retrainings"] == 1
    training = Training.objects.active().get()
    assert (training.symbol, training.reason) == (symbol, TrainingReason.DATA_REVISED)


def test_a_retraining_for_lost_performance_keeps_the_figures(folder: Path) -> None:
    serving(listed(folder, "AAA"), spread=4.0)
    assert report_of_a_run()["retrainings"] == 1
    training = Training.objects.active().get()
    assert training.reason == TrainingReason.PERFORMANCE_LOST
    assert training.figures.startswith("Version 1: in 20 sessions its quantile loss was ")


def test_a_symbol_whose_automatic_training_is_paused_is_not_retrained_for_any_reason(folder: Path) -> None:
    modelled(old := listed(folder, "AAA"), trained_days_ago=16)
    modelled(revised := listed(folder, "BBB"))
    make_restatement(revised)
    serving(worse := listed(folder, "CCC"), spread=4.0)
    pausing.pause([old, revised, worse], by="account ana")
    assert report_of_a_run()["retrainings"] == 0
    pausing.resume([old, revised, worse], by="account ana")
    assert report_of_a_run()["retrainings"] == 3


def test_a_paused_symbol_is_synced_and_forecast(folder: Path) -> None:
    modelled(symbol := listed(folder, "AAA"))
    pausing.pause([symbol], by="account ana")
    report = report_of_a_run()
    assert (report["symbols"], report["forecasts"]) == (1, 1)


def test_a_model_whose_retraining_was_rejected_is_not_retrained_every_day(folder: Path) -> None:
    modelled(symbol := listed(folder, "AAA"), trained_days_ago=16)
    make_version(symbol, number=2, state=VersionState.REJECTED)
    assert report_of_a_run()["retrainings"] == 0


def test_it_leaves_out_a_symbol_that_is_out_of_service(folder: Path) -> None:
    modelled(symbol := listed(folder, "AAA"), trained_days_ago=16)
    market.sync(symbol, now=NOW)
    Symbol.objects.update(removed_at=NOW)
    report = report_of_a_run()
    assert (report["symbols"], report["forecasts"], report["retrainings"]) == (0, 0, 0)


def test_it_forgets_symbols_of_which_there_is_nothing_and_names_that_have_expired(folder: Path) -> None:
    market.look_up(["NEW"], now=NOW - timedelta(days=1), budget_s=0)
    listed(folder, "AAA")
    make_symbol("NOPE", upstream_state=UpstreamState.UNKNOWN, unknown_until=NOW + timedelta(days=1))
    Symbol.objects.update(created_at=NOW - timedelta(days=2))
    report = report_of_a_run()
    assert (report["symbols_forgotten"], report["names_expired"]) == (1, 1)
    assert Symbol.objects.get().ticker == "AAA"


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
