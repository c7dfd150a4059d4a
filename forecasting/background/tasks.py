"""The tasks that django-q2 runs by name, and their schedules."""

from datetime import date

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_q.models import Schedule

from forecasting import market, summary
from forecasting.background import daily, daily_sync, lead_forecasts, previews, trainer_parent, webhooks
from forecasting.callers import budgets
from forecasting.models import Symbol
from forecasting.models.locks import Lock, lock_until_commit

LOOK_UP_SECONDS = DRAWING_SECONDS = 40.0  # less than the minute after which the next task continues


def drain_training_queue() -> int:
    """Runs the waiting trainings; returns how many it claimed. Returns at once if the queue is empty."""
    return trainer_parent.drain(seconds=settings.DRAIN_SECONDS)


def sync_symbols(symbol_ids: list[int]) -> int:
    """Syncs the bars of these symbols; returns how many succeeded. Failures are logged with their symbol."""
    wanted = Symbol.objects.in_service().filter(pk__in=symbol_ids)
    synced = [daily_sync.sync_one(symbol, now=timezone.now()) for symbol in wanted]
    return len(synced) - sum(error is not None for error in synced)


def look_up_names() -> int:
    """Looks up names that a request could not wait for; returns how many answers came. Returns at once if there are none."""
    return market.look_up_awaited(now=timezone.now(), seconds=LOOK_UP_SECONDS)


def forecast_with_leads() -> int:
    """See lead_forecasts.issue_due."""
    return lead_forecasts.issue_due()


def draw_previews() -> int:
    """See previews.draw_due."""
    return previews.draw_due(seconds=DRAWING_SECONDS)


def deliver_webhooks() -> int:
    """See webhooks.deliver_due."""
    return webhooks.deliver_due()


def daily_job(day: date | None = None) -> str:
    """See daily.run."""
    return daily.run(day)


def resume_daily_job() -> str:
    """See daily.resume."""
    return daily.resume()


def refresh_summary() -> bool:
    """See summary.refresh."""
    return summary.refresh()


def forget_ended_budgets() -> int:
    """See budgets.forget_ended."""
    return budgets.forget_ended()


def ensure_schedules() -> None:
    """Creates the schedules of this release and its settings, each exactly once, even if several workers start together."""
    wanted = {
        "daily job": {
            "func": "forecasting.background.tasks.daily_job",
            "schedule_type": Schedule.CRON,
            "cron": f"0 {settings.DAILY_TASK_HOUR} * * *",
        },
        "daily job again, if it failed or is incomplete": {
            "func": "forecasting.background.tasks.resume_daily_job",
            "schedule_type": Schedule.MINUTES,
            "minutes": 15,
        },
        "figures for monitoring": {
            "func": "forecasting.background.tasks.refresh_summary",
            "schedule_type": Schedule.MINUTES,
            "minutes": 5,
        },
        "forget ended budgets": {
            "func": "forecasting.background.tasks.forget_ended_budgets",
            "schedule_type": Schedule.MINUTES,
            "minutes": 15,
        },
        "forecasts that know other markets": {
            "func": "forecasting.background.tasks.forecast_with_leads",
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
        },
        "preview pictures of new forecasts": {
            "func": "forecasting.background.tasks.draw_previews",
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
        },
        "names without an answer": {
            "func": "forecasting.background.tasks.look_up_names",
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
        },
    }
    with transaction.atomic():
        lock_until_commit(Lock.SCHEDULE)
        outdated = Schedule.objects.filter(func__startswith="forecasting.").exclude(name__in=wanted)
        outdated.delete()  # of an earlier release
        for name, values in wanted.items():
            present = Schedule.objects.filter(name=name)
            if not present.count() == present.filter(**values).count() == 1:
                present.delete()
                Schedule.objects.create(name=name, **values)
