"""The tasks of django-q2: schedules exist once, late refreshes are independent, all paths exist."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from pydoc import locate

import pytest
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from django_q.tasks import async_task
from pytest_django import Settings

from forecasting.background import daily, tasks
from forecasting.models import PriceBar
from forecasting.models.symbols import UpstreamState
from forecasting.runtime import heartbeat
from forecasting.training import queue as training_queue
from tests.factories import make_symbol, make_training
from tests.fake_yahoo import generated_bars
from tests.racing import at_once

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("folder")]


# Schedules


def schedules() -> list[tuple[str, str, str | None]]:
    return list(Schedule.objects.order_by("name").values_list("name", "func", "cron"))


WANTED = [
    ("daily job", "forecasting.background.tasks.daily_job", "0 3 * * *"),
    ("daily job again, if it failed or is incomplete", "forecasting.background.tasks.resume_daily_job", None),
    ("figures for monitoring", "forecasting.background.tasks.refresh_summary", None),
    ("forecasts that know other markets", "forecasting.background.tasks.forecast_with_leads", None),
    ("forget ended budgets", "forecasting.background.tasks.forget_ended_budgets", None),
    ("names without an answer", "forecasting.background.tasks.look_up_names", None),
    ("preview pictures of new forecasts", "forecasting.background.tasks.draw_previews", None),
]


@pytest.mark.django_db(transaction=True)
def test_workers_that_start_at_once_make_each_schedule_once() -> None:
    at_once([tasks.ensure_schedules] * 4)
    assert schedules() == WANTED


def test_a_schedule_that_is_there_keeps_its_next_run() -> None:
    tasks.ensure_schedules()
    before = list(Schedule.objects.order_by("pk").values())
    tasks.ensure_schedules()
    assert list(Schedule.objects.order_by("pk").values()) == before


def test_the_daily_job_follows_its_hour(settings: Settings) -> None:
    tasks.ensure_schedules()
    settings.DAILY_TASK_HOUR = 21
    tasks.ensure_schedules()
    assert {cron for _, _, cron in schedules()} == {"0 21 * * *", None}


def test_a_duplicate_schedule_is_removed() -> None:
    tasks.ensure_schedules()
    for schedule in Schedule.objects.all():
        schedule.pk = None
        schedule.save()
    tasks.ensure_schedules()
    assert schedules() == WANTED


def test_a_schedule_of_an_earlier_release_is_gone_and_that_of_others_stays() -> None:
    for func in ("forecasting.background.tasks.of_old", "somebody.elses"):
        Schedule.objects.create(name=func, func=func, schedule_type=Schedule.HOURLY)
    tasks.ensure_schedules()
    assert set(Schedule.objects.values_list("func", flat=True)) == {"somebody.elses", *(func for _, func, _ in WANTED)}


@pytest.mark.django_db(transaction=True)
def test_a_schedule_that_is_due_becomes_a_task() -> None:
    tasks.ensure_schedules()
    Schedule.objects.update(next_run=timezone.now() - timedelta(minutes=1))
    scheduler()
    assert sorted(task.func() for task in OrmQ.objects.filter(key="short")) == sorted(func for _, func, _ in WANTED)


def test_a_worker_that_starts_enqueues_the_job_of_today() -> None:
    daily.request()
    (task,) = OrmQ.objects.all()
    assert task.func() == "forecasting.background.tasks.daily_job"


# Other tasks


def test_a_late_refresh_syncs_each_symbol_even_if_another_one_fails(folder: Path) -> None:
    unknown, known = make_symbol("AAA"), make_symbol("BBB")
    generated_bars("BBB", first=date(2024, 1, 2), last=date(2024, 6, 28)).to_csv(folder / "BBB.csv")
    assert tasks.sync_symbols([unknown.pk, known.pk]) == 1
    assert PriceBar.objects.of(known).exists()
    unknown.refresh_from_db()
    assert unknown.upstream_state == UpstreamState.UNKNOWN


@pytest.mark.django_db(transaction=True)
def test_a_woken_worker_that_finds_nothing_due_returns_at_once() -> None:
    make_training(make_symbol(), not_before=timezone.now() + timedelta(hours=1))
    assert tasks.drain_training_queue() == 0


@pytest.mark.parametrize(
    ("path", "task"),
    [
        ("forecasting.tasks.daily_job", tasks.daily_job),
        ("forecasting.tasks.drain_training_queue", tasks.drain_training_queue),
        ("forecasting.tasks.resume_daily_job", tasks.resume_daily_job),
        ("forecasting.tasks.sync_symbols", tasks.sync_symbols),
        ("stockpred.pulse.answer", heartbeat.answer_ping),
    ],
)
def test_a_task_that_an_earlier_release_queued_still_runs(path: str, task: Callable[..., object]) -> None:
    async_task(path)
    (queued,) = OrmQ.objects.all()
    assert locate(queued.func()) is task  # the way the library finds it


def test_the_tasks_that_this_release_queues_exist() -> None:
    training_queue.wake_worker()
    daily.request()
    tasks.ensure_schedules()
    paths = [task.func() for task in OrmQ.objects.all()] + [func for _, func, _ in schedules()] + [heartbeat.PING]
    assert all(callable(locate(path)) for path in paths)
