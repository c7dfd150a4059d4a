"""What django-q2 runs, by name: the drain of the training queue, the daily job, late price refreshes."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import Schedule
from django_q.tasks import async_task

from forecasting import ledger, market, monitoring, registry, trainer_process, training_requests
from forecasting.models import JobRun, ModelVersion, Symbol, Training
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingReason
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.sources import PausedError, PriceSourceError, RateLimitedError, UpstreamUnavailableError

DAILY_JOB = "daily"
SLICE_SECONDS = 240  # of the daily job's syncing, well below the task's time limit; the next slice is a task of its own
GIVE_UP_AFTER = 5  # symbols in a row for which the price source was out of reach
FORECAST_BATCH = 100  # symbols
SCHEDULE_LOCK = 0x53434844
DAILY_LOCK = 0x4441494C

logger = logging.getLogger(__name__)


def drain_training_queue() -> int:
    """Trains what waits; returns how many trainings it took. A doorbell that finds nothing is answered at once."""
    return trainer_process.drain(seconds=settings.DRAIN_SECONDS)


def sync_symbols(symbol_ids: list[int]) -> int:
    """Brings these symbols' bars up to date; returns how many were. A failure is noted with its symbol."""
    synced = [_sync(symbol, now=timezone.now()) for symbol in Symbol.objects.filter(pk__in=symbol_ids)]
    return len(synced) - sum(error is not None for error in synced)


def daily_job(day: date | None = None) -> str:
    """The daily job of a date, today's by default, a slice of it at a time: nothing where it is done or under way, else on from
    where it stopped. Whatever the date, it brings prices, scores and forecasts up to now."""
    now = timezone.now()
    with _only_one(DAILY_LOCK) as mine:
        if not mine:
            return "under way elsewhere"
        run, _ = JobRun.objects.get_or_create(job=DAILY_JOB, date=day or timezone.localdate(now))
        if run.state == JobState.SUCCEEDED and not _may_sync_the_rest(run):
            return "done already"
        _note(run, JobState.RUNNING)
        try:
            done = work_on(run, now=now)
        except BaseException as error:  # django-q's time-out is a SystemExit; whatever it was, the run shows it
            connection.close()  # it may be what failed
            _note(run, JobState.FAILED, error=f"{type(error).__name__}: {error}")
            raise
        _note(run, JobState.SUCCEEDED if done else JobState.RUNNING)
    if not done:
        request_daily_job(day)
        return "goes on"
    logger.info("daily job done: %s", run.report)
    return "done"


def resume_daily_job() -> str:
    """Today's run again where it failed or died, or could not sync all symbols; where there is none, its hour has not come."""
    run = JobRun.objects.filter(job=DAILY_JOB, date=timezone.localdate()).first()
    unfinished = run is not None and (run.state != JobState.SUCCEEDED or _may_sync_the_rest(run))
    return daily_job() if unfinished else "nothing to resume"


def work_on(run: JobRun, *, now: datetime) -> bool:
    """Newest bars, scores, forecasts, retrainings; one symbol's failure does not keep the others. False where bars remain to sync.

    The run's report tells what was done so far, and is where the next slice goes on.
    """
    if not _sync_slice(run.report, now=now):
        return False
    run.report["scored"] = ledger.score_due()
    run.report["forecasts"], run.report["not_forecast"] = _forecast_all()
    run.report["retrainings"] = _request_retrainings(now=now)
    run.report["base_retraining"] = refresh_base()
    run.report["files_expired"] = registry.expire_files()
    run.report["folders_removed"] = registry.sweep()
    return True


def ensure_schedules() -> None:
    """The schedules as this release and its settings want them, each once, however many workers start at a time."""
    wanted = {
        "daily job": {
            "func": "forecasting.tasks.daily_job",
            "schedule_type": Schedule.CRON,
            "cron": f"0 {settings.DAILY_TASK_HOUR} * * *",
        },
        "daily job again, where it failed": {
            "func": "forecasting.tasks.resume_daily_job",
            "schedule_type": Schedule.MINUTES,
            "minutes": 15,
        },
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEDULE_LOCK])
        Schedule.objects.filter(func__startswith="forecasting.tasks.").exclude(name__in=wanted).delete()  # of an earlier release
        for name, values in wanted.items():
            present = Schedule.objects.filter(name=name)
            if not present.count() == present.filter(**values).count() == 1:
                present.delete()
                Schedule.objects.create(name=name, **values)


def request_daily_job(day: date | None = None) -> None:
    """Asks for the job of a date, by default of the day when it is done, as a worker does when it starts."""
    async_task("forecasting.tasks.daily_job", *([day] if day else []))


def _sync_slice(report: dict[str, Any], *, now: datetime) -> bool:
    """Syncs symbol after symbol, in the order of their keys, for at most SLICE_SECONDS; True when all were tried.

    A price source that limits our rate or is left alone ends it at once, and so does one that is out of reach for several symbols
    in a row: to go on would only make it worse. The job then does the rest of its work; once the source may be asked again, it is
    resumed with the symbol at which it stopped.
    """
    if market.is_paused():
        report.setdefault("sync_ended", "The price source is left alone for a while.")
        return True
    report.pop("sync_ended", None)
    report.setdefault("symbols", 0)
    failed = report.setdefault("not_synced", {})
    ends, in_a_row = time.monotonic() + SLICE_SECONDS, 0
    remaining = Symbol.objects.worth_asking(now=now).filter(pk__gt=report.get("last_symbol", 0)).order_by("pk")
    for symbol in remaining.iterator(FORECAST_BATCH):
        if time.monotonic() > ends:
            return False
        error = _sync(symbol, now=now)
        in_a_row = in_a_row + 1 if isinstance(error, UpstreamUnavailableError) else 0
        if error and (isinstance(error, RateLimitedError | PausedError) or in_a_row >= GIVE_UP_AFTER):
            report["sync_ended"] = f"At {symbol.ticker}: {error.reason}"
            break
        report["symbols"], report["last_symbol"] = report["symbols"] + 1, symbol.pk
        if error:
            failed[symbol.ticker] = error.reason
    return True


def _may_sync_the_rest(run: JobRun) -> bool:
    """Whether the run could not sync all symbols, and the price source may be asked again."""
    return "sync_ended" in run.report and not market.is_paused()


def retrainings() -> dict[TrainingReason, list[Symbol]]:
    """The symbols whose models have lost performance, whose bars were revised since their training, and that are old.

    Age and bars are those of the newest version, which may have been rejected: another one like it would be, too.
    """
    followed, newest = Symbol.objects.followed(), ModelVersion.objects.exclude(symbol=None).newest_per_symbol()
    old = newest.older_than(timedelta(days=settings.MODEL_MAX_AGE_DAYS))
    return {
        TrainingReason.PERFORMANCE_LOST: [symbol for batch in _batches() for symbol in monitoring.lost_performance(batch)],
        TrainingReason.DATA_REVISED: list(followed.filter(versions__in=newest.on_revised_bars())),
        TrainingReason.TOO_OLD: list(followed.filter(versions__in=old)),
    }


def _request_retrainings(*, now: datetime) -> int:
    """Returns how many symbols are retrained; the first reason counts."""
    requested: dict[int, Training] = {}
    for reason, symbols in retrainings().items():
        new = [symbol for symbol in symbols if symbol.pk not in requested]
        requested |= training_requests.request_unless_resting(new, reason=reason, now=now)
    return len(requested)


def refresh_base() -> bool:
    """Asks for a new base if enough symbols have bars that are newer, by BASE_MAX_AGE_DAYS, than the end of the present one's data.

    Old prices would only give an old base again. One that was trained here not long ago stays in any case: it may have left the
    newer prices out, because they are too many or do not pass the gate.
    """
    age = timedelta(days=settings.BASE_MAX_AGE_DAYS)
    bases, symbols = ModelVersion.objects.filter(symbol=None), Symbol.objects.with_history(ForecastConfig().minimum_bars)
    if active := bases.active().first():
        symbols = symbols.with_bar_since(active.data_end + age)
    enough = symbols[: settings.BASE_MIN_SYMBOLS].count() == settings.BASE_MIN_SYMBOLS
    if not enough or bases.exclude(training=None).exclude(pk__in=bases.older_than(age)).exists():
        return False
    training_requests.request_base(reason=TrainingReason.TOO_OLD)
    return True


def _sync(symbol: Symbol, *, now: datetime) -> PriceSourceError | None:
    """Brings one symbol's bars up to date; the error where that failed."""
    try:
        market.sync(symbol, now=now)
    except PriceSourceError as error:
        logger.warning("prices not synced: %s", error, extra={"symbol": symbol.ticker})
        return error
    return None


def _forecast_all() -> tuple[int, dict[str, str]]:
    """Issues every symbol's forecast, batch by batch; returns how many stand now, and each failure's reason by ticker."""
    issued = 0
    failed: dict[str, str] = {}
    for batch in _batches():
        own = {version.symbol_id: version for version in ModelVersion.objects.active().of(batch)}
        forecasts, errors = ledger.issue(ledger.serving_versions({symbol: own.get(symbol.pk) for symbol in batch}))
        issued += len(forecasts)
        failed |= {symbol.ticker: error for symbol, error in errors.items()}
    return issued, failed


def _batches() -> Iterator[list[Symbol]]:
    """The symbols with bars, by FORECAST_BATCH, in the order of their keys."""
    last = 0
    with_bars = Symbol.objects.with_bars().order_by("pk")
    while batch := list(with_bars.filter(pk__gt=last)[:FORECAST_BATCH]):
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
        if mine and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
