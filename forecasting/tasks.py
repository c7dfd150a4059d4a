"""What django-q2 runs, by name: the drain of the training queue, its rescue, the daily job, late price refreshes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_q.models import Schedule
from django_q.tasks import async_task

from forecasting import ledger, market, trainer_process, training_queue
from forecasting.models import JobRun, ModelVersion, Symbol
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingReason
from forecasting.pipeline.sources import PriceSourceError

DAILY_JOB = "daily"
DAILY_TIMEOUT = 4 * 60 * 60  # seconds: the price source is asked for one symbol after the other
FORECAST_BATCH = 100  # symbols
SCHEDULE_LOCK = 0x53434844
DAILY_LOCK = 0x4441494C

logger = logging.getLogger(__name__)


def drain_training_queue() -> int:
    """Trains what waits; returns how many trainings it took. A doorbell that finds nothing is answered at once."""
    return trainer_process.drain(seconds=settings.DRAIN_SECONDS)


def rescue_trainings() -> int:
    """Takes back trainings whose worker disappeared."""
    return training_queue.rescue()


def sync_symbols(symbol_ids: list[int]) -> int:
    """Brings these symbols' bars up to date; returns how many were. A failure is noted with its symbol."""
    return len(symbol_ids) - len(_sync_all(Symbol.objects.filter(pk__in=symbol_ids), now=timezone.now()))


def daily_job() -> str:
    """The daily job of today: does nothing where it is done or under way, and goes on where it died."""
    now = timezone.now()
    with _only_one(DAILY_LOCK) as mine:
        if not mine:
            return "under way elsewhere"
        run, _ = JobRun.objects.get_or_create(job=DAILY_JOB, date=timezone.localdate(now))
        if run.state == JobState.SUCCEEDED:
            return "done already"
        _note(run, JobState.RUNNING)
        try:
            run.report = run_daily(now=now)
        except Exception as error:  # whatever it was, the run shows it before the task fails
            _note(run, JobState.FAILED, error=f"{type(error).__name__}: {error}")
            raise
        _note(run, JobState.SUCCEEDED)
    logger.info("daily job done: %s", run.report)
    return "done"


def run_daily(*, now: datetime) -> dict[str, object]:
    """Newest bars, scores, forecasts, retrainings; one symbol's failure does not keep the others. Returns what was done."""
    followed = Symbol.objects.followed()
    symbols = followed.count()
    failed = _sync_all(followed, now=now)
    scored = ledger.score_due()
    issued, errors = _forecast_all()
    old = ModelVersion.objects.active().older_than(timedelta(days=settings.MODEL_MAX_AGE_DAYS))
    requested = training_queue.request(followed.filter(versions__in=old), reason=TrainingReason.TOO_OLD)
    return {
        "symbols": symbols,
        "not_synced": failed,
        "scored": scored,
        "forecasts": issued,
        "not_forecast": errors,
        "retrainings": len(requested),
    }


def ensure_schedules() -> None:
    """The schedules as this release and its settings want them, each once, however many workers start at a time."""
    wanted = {
        "daily job": {
            "func": "forecasting.tasks.daily_job",
            "schedule_type": Schedule.CRON,
            "cron": f"0 {settings.DAILY_TASK_HOUR} * * *",
            "kwargs": f"q_options={{'timeout': {DAILY_TIMEOUT}}}",
        },
        "rescue of trainings": {
            "func": "forecasting.tasks.rescue_trainings",
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
        },
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEDULE_LOCK])
        for name, values in wanted.items():
            present = Schedule.objects.filter(name=name)
            if not present.count() == present.filter(**values).count() == 1:
                present.delete()
                Schedule.objects.create(name=name, **values)


def request_daily_job() -> None:
    """Asks for today's job now, as a worker does when it starts."""
    async_task("forecasting.tasks.daily_job", q_options={"timeout": DAILY_TIMEOUT})


def _sync_all(symbols: QuerySet[Symbol], *, now: datetime) -> dict[str, str]:
    """Brings the symbols' bars up to date one after the other; returns the reason of each that failed, by ticker."""
    failed = {}
    for symbol in symbols.iterator(chunk_size=FORECAST_BATCH):
        try:
            market.sync(symbol, now=now)
        except PriceSourceError as error:
            failed[symbol.ticker] = error.reason
            logger.warning("prices not synced: %s", error, extra={"symbol": symbol.ticker})
    return failed


def _forecast_all() -> tuple[int, dict[str, str]]:
    """Issues every active version's forecast, batch by batch; returns how many stand now, and each failure's reason by ticker."""
    issued = 0
    failed: dict[str, str] = {}
    for batch in _batches():
        forecasts, errors = ledger.issue({version.symbol: version for version in batch if version.symbol})
        issued += len(forecasts)
        failed |= {symbol.ticker: error for symbol, error in errors.items()}
    return issued, failed


def _batches() -> Iterator[list[ModelVersion]]:
    """The active versions of symbols, by FORECAST_BATCH, in the order of their keys."""
    last = 0
    active = ModelVersion.objects.active().exclude(symbol=None).select_related("symbol").order_by("pk")
    while batch := list(active.filter(pk__gt=last)[:FORECAST_BATCH]):
        yield batch
        last = batch[-1].pk


def _note(run: JobRun, state: JobState, *, error: str = "") -> None:
    run.state, run.error = state, error
    run.finished_at = None if state == JobState.RUNNING else timezone.now()
    run.save()


@contextmanager
def _only_one(key: int) -> Iterator[bool]:
    """Whether this process holds the lock; the database drops it with the connection, so that a crash leaves none behind."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        (mine,) = cursor.fetchone()
        try:
            yield mine
        finally:
            if mine:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
