"""What django-q2 runs, by name: the drain of the training queue, the daily job, late price refreshes; and when."""

from datetime import date

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import Schedule

from forecasting.background import daily, trainer_parent
from forecasting.models import Symbol

SCHEDULE_LOCK = 0x53434844


def drain_training_queue() -> int:
    """Trains what waits; returns how many trainings it took. With an empty queue it returns at once."""
    return trainer_parent.drain(seconds=settings.DRAIN_SECONDS)


def sync_symbols(symbol_ids: list[int]) -> int:
    """Brings these symbols' bars up to date; returns how many were. A failure is noted with its symbol."""
    synced = [daily.sync_one(symbol, now=timezone.now()) for symbol in Symbol.objects.filter(pk__in=symbol_ids)]
    return len(synced) - sum(error is not None for error in synced)


def daily_job(day: date | None = None) -> str:
    """See daily.run."""
    return daily.run(day)


def resume_daily_job() -> str:
    """See daily.resume."""
    return daily.resume()


def ensure_schedules() -> None:
    """The schedules as this release and its settings want them, each once, however many workers start at a time."""
    wanted = {
        "daily job": {
            "func": "forecasting.background.tasks.daily_job",
            "schedule_type": Schedule.CRON,
            "cron": f"0 {settings.DAILY_TASK_HOUR} * * *",
        },
        "daily job again, where it failed": {
            "func": "forecasting.background.tasks.resume_daily_job",
            "schedule_type": Schedule.MINUTES,
            "minutes": 15,
        },
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEDULE_LOCK])
        outdated = Schedule.objects.filter(func__startswith="forecasting.").exclude(name__in=wanted)
        outdated.delete()  # of an earlier release
        for name, values in wanted.items():
            present = Schedule.objects.filter(name=name)
            if not present.count() == present.filter(**values).count() == 1:
                present.delete()
                Schedule.objects.create(name=name, **values)
