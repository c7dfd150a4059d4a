"""The status strip: one light for each part."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from forecasting.console import status
from forecasting.console.prices import freshness
from forecasting.console.status import Light
from forecasting.console.trainings import activity
from forecasting.models import JobRun
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingState
from forecasting.models.upstream import BreakerState
from forecasting.prices.calendars import last_completed_session
from forecasting.readiness import State
from forecasting.training.workers import CLUSTERS, absence
from tests.factories import add_bars, make_symbol, make_training, make_upstream, make_version, make_worker

pytestmark = pytest.mark.django_db


def run(day: date, state: JobState, **values: object) -> JobRun:
    return JobRun.objects.create(job="daily", date=day, state=state, finished_at=timezone.now(), **values)


def bars() -> Light:
    return status.bars(freshness(now=timezone.now()))


def queue(*, absent: str = "", now: datetime = datetime(2025, 6, 2, 12, tzinfo=UTC)) -> Light:
    return status.queue(activity(), absent=absent, now=now)


def test_each_day_of_the_daily_job_has_a_square_and_the_words_count_them() -> None:
    today = timezone.localdate()
    run(today, JobState.INCOMPLETE, report={"symbols": 12, "untried": 22}, error="Yahoo is away")
    run(today - timedelta(days=2), JobState.FAILED)
    light = status.daily_job(today=today)
    assert [day.told for day in light.days[-3:]] == ["failed", "without a run", "incomplete 12/34"]
    assert (light.part.status, light.told_days) == (State.WARNING, "1 incomplete, 1 failed, 28 without a run")


def test_a_run_before_the_shown_days_has_no_square_and_is_not_forgotten() -> None:
    today, past = timezone.localdate(), timezone.now() - timedelta(days=30)
    run(today - timedelta(days=30), JobState.SUCCEEDED)
    JobRun.objects.update(started_at=past, finished_at=past)
    light = status.daily_job(today=today)
    assert light.told_days == "30 without a run"
    assert light.part.text == f"The last run is that of {today - timedelta(days=30)}: succeeded."


def test_a_failed_run_is_no_green_light_although_the_one_before_was_good() -> None:
    today = timezone.localdate()
    run(today, JobState.FAILED, error="OperationalError: no space left")
    run(today - timedelta(days=1), JobState.SUCCEEDED)
    part = status.daily_job(today=today).part
    assert part.status == State.WARNING
    assert part.text == (
        f"The run of {today} failed (OperationalError: no space left). Run of {today - timedelta(days=1)}: succeeded."
    )


def test_the_light_of_the_workers_is_red_without_one() -> None:
    make_worker(seen_s=1000)
    light = status.workers(absence(*CLUSTERS))
    assert light.part.status == State.FAILED
    assert light.part.text.startswith("No worker since")


def test_the_queue_says_when_it_will_be_empty() -> None:
    make_training(make_symbol("A"), state=TrainingState.SUCCEEDED)
    make_training(make_symbol("B"))
    assert "1 waiting until about 12:00," in queue().part.text  # in 45 s
    assert "1 waiting until about 2025-06-03 00:00," in queue(now=datetime(2025, 6, 2, 23, 59, 30, tzinfo=UTC)).part.text


def test_the_queue_says_no_end_without_a_worker() -> None:
    make_training(make_symbol("A"), state=TrainingState.SUCCEEDED)
    make_training(make_symbol("B"))
    assert "0 running, 1 waiting, 0 failed in 24 hours." in queue(absent="No worker has run yet.").part.text


def test_a_recent_failure_makes_the_queue_amber() -> None:
    make_training(make_symbol("A"), state=TrainingState.FAILED)
    make_training(make_symbol("B"), state=TrainingState.FAILED, finished_at=timezone.now() - timedelta(days=2))
    assert queue().part.status == State.WARNING
    assert "1 failed in 24 hours" in queue().part.text


def test_a_paused_price_source_is_amber(settings: Settings) -> None:
    settings.PRICE_SOURCE = "yahoo"
    make_upstream(state=BreakerState.OPEN, reason="Yahoo Finance refuses more requests for now")
    assert status.price_source().part.status == State.WARNING


def test_stale_and_missing_prices_are_counted() -> None:
    now = timezone.now()
    for ticker, end in (("A", None), ("B", None), ("C", None), ("D", last_completed_session("XNYS", now=now) - timedelta(days=20))):
        add_bars(make_symbol(ticker), count=2, end=end)
    make_symbol("E", exchange=None)
    add_bars(make_symbol("REMOVED", removed_at=now), count=2, end=date(2024, 1, 3))
    assert bars().part.text == "3 of 5 symbols up to date, 1 stale, 1 without prices."
    assert bars().part.status == State.WARNING


def test_one_missing_session_is_usual() -> None:
    symbol = make_symbol()
    newest = add_bars(symbol, count=2)[-1]
    newest.delete()
    assert bars().part.status == State.OK


def test_prices_that_are_half_stale_are_red() -> None:
    add_bars(make_symbol(), count=2, end=date(2024, 1, 3))
    assert bars().part.status == State.FAILED


def test_nothing_is_known_of_prices_without_symbols() -> None:
    assert bars().part.status == State.UNKNOWN


@pytest.mark.parametrize(("days", "state"), [(90, State.OK), (91, State.WARNING)])
def test_the_base_is_amber_once_its_data_is_too_old(days: int, state: State) -> None:
    today = date(2025, 6, 2)
    make_version(None, data_end=today - timedelta(days=days))
    assert status.base(today=today).part.status == state
