"""The daily job: one plan of steps, which a run carries out and a dry run foretells."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.tasks import async_task

from forecasting import ledger, market, monitoring, registry, serving
from forecasting.models import Forecast, JobRun, ModelVersion, Symbol, Training
from forecasting.models.jobs import JobState
from forecasting.models.symbols import SymbolQuerySet
from forecasting.models.trainings import TrainingReason
from forecasting.pipeline.config import ForecastConfig
from forecasting.prices.sources import PausedError, PriceSourceError, RateLimitedError, UpstreamUnavailableError
from forecasting.training import requests as training_requests

DAILY_JOB = "daily"
SLICE_SECONDS = 240  # of the daily job's syncing, well below the task's time limit; the next slice is a task of its own
GIVE_UP_AFTER = 5  # symbols in a row for which the price source was out of reach
FORECAST_BATCH = 100  # symbols
DAILY_LOCK = 0x4441494C
SHOWN = 10  # symbols of a reason, in a dry run

Report = dict[str, Any]  # what a run did so far; the next slice goes on from it

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the daily job. `do` adds to the report and returns whether it is done; `foretell` changes nothing."""

    do: Callable[[Report, datetime], bool]
    foretell: Callable[[Report, datetime], list[str]]


def run(day: date | None = None) -> str:
    """The daily job of a date, today's by default, a slice at a time; returns what became of it.

    A run that is done or under way is left alone, an interrupted one goes on from where it stopped. Whatever the date, prices,
    scores and forecasts are brought up to now.
    """
    now = timezone.now()
    with _only_one(DAILY_LOCK) as mine:
        if not mine:
            return "under way elsewhere"
        job, _ = JobRun.objects.get_or_create(job=DAILY_JOB, date=day or timezone.localdate(now))
        if job.state == JobState.SUCCEEDED and not _may_sync_the_rest(job):
            return "done already"
        _note(job, JobState.RUNNING)
        try:
            done = all(step.do(job.report, now) for step in PLAN)
        except BaseException as error:  # django-q's time-out is a SystemExit; whatever it was, the run shows it
            connection.close()  # it may be what failed
            _note(job, JobState.FAILED, error=f"{type(error).__name__}: {error}")
            raise
        _note(job, JobState.SUCCEEDED if done else JobState.RUNNING)
    if not done:
        request(day)
        return "goes on"
    logger.info("daily job done: %s", job.report)
    return "done"


def resume() -> str:
    """Today's run again if it failed or died, or could not sync all symbols. If there is none, it is not due yet."""
    job = JobRun.objects.filter(job=DAILY_JOB, date=timezone.localdate()).first()
    unfinished = job is not None and (job.state != JobState.SUCCEEDED or _may_sync_the_rest(job))
    return run() if unfinished else "nothing to resume"


def foretell(day: date) -> list[str]:
    """What the run of a date would do now, a line each. Changes nothing."""
    job = JobRun.objects.filter(job=DAILY_JOB, date=day).first()
    report = dict(job.report) if job else {}
    lines = [line for step in PLAN for line in step.foretell(report, timezone.now())]
    return [f"Run of {day}: {job.state if job else 'none yet'}.", *lines]


def request(day: date | None = None) -> None:
    """Enqueues the job of a date; by default of the day on which it runs, as a worker does when it starts."""
    async_task("forecasting.background.tasks.daily_job", *([day] if day else []))


def sync_one(symbol: Symbol, *, now: datetime) -> PriceSourceError | None:
    """Brings one symbol's bars up to date; returns the error if that failed."""
    try:
        market.sync(symbol, now=now)
    except PriceSourceError as error:
        logger.warning("prices not synced: %s", error, extra={"symbol": symbol.ticker})
        return error
    return None


def _sync(report: Report, now: datetime) -> bool:
    """Syncs symbol after symbol, in the order of their keys, for at most SLICE_SECONDS; True if all were tried.

    A price source that limits our rate or is paused ends it at once, and so does one that is out of reach for several symbols in a
    row: more requests would only make it worse. The job then does the rest of its work. Once the source may be asked again, it is
    resumed with the symbol at which it stopped.
    """
    if market.is_paused():
        report.setdefault("sync_ended", "The price source is left alone for a while.")
        return True
    report.pop("sync_ended", None)
    report.setdefault("symbols", 0)
    failed = report.setdefault("not_synced", {})
    ends, in_a_row = time.monotonic() + SLICE_SECONDS, 0
    for symbol in _unsynced(report, now).iterator(FORECAST_BATCH):
        if time.monotonic() > ends:
            return False
        error = sync_one(symbol, now=now)
        in_a_row = in_a_row + 1 if isinstance(error, UpstreamUnavailableError) else 0
        if error and (isinstance(error, RateLimitedError | PausedError) or in_a_row >= GIVE_UP_AFTER):
            report["sync_ended"] = f"At {symbol.ticker}: {error.reason}"
            break
        report["symbols"], report["last_symbol"] = report["symbols"] + 1, symbol.pk
        if error:
            failed[symbol.ticker] = error.reason
    return True


def _foretell_sync(report: Report, now: datetime) -> list[str]:
    paused = " (the price source is paused at present)" if market.is_paused() else ""
    return [f"Prices of {_unsynced(report, now).count()} symbols would be brought up to date{paused}."]


def _unsynced(report: Report, now: datetime) -> SymbolQuerySet:
    """The symbols that this run has not tried yet."""
    return Symbol.objects.worth_asking(now=now).filter(pk__gt=report.get("last_symbol", 0)).order_by("pk")


def _may_sync_the_rest(job: JobRun) -> bool:
    """Whether a run could not sync all symbols, and the price source may be asked again."""
    return "sync_ended" in job.report and not market.is_paused()


def _score(report: Report, now: datetime) -> bool:
    report["scored"] = ledger.score_due()
    return True


def _foretell_scores(report: Report, now: datetime) -> list[str]:
    return [f"Forecasts of {Forecast.objects.due().count()} sessions that have happened would be scored."]


def _forecast(report: Report, now: datetime) -> bool:
    """Issues every symbol's forecast, batch by batch; counts those that stand now, and keeps each failure's reason by ticker."""
    report["forecasts"], report["not_forecast"] = 0, {}
    for batch in _batches():
        own = {version.symbol_id: version for version in ModelVersion.objects.active().of(batch)}
        forecasts, errors = serving.serve(serving.serving_versions({symbol: own.get(symbol.pk) for symbol in batch}))
        report["forecasts"] += len(forecasts)
        report["not_forecast"] |= {symbol.ticker: error for symbol, error in errors.items()}
    return True


def _foretell_forecasts(report: Report, now: datetime) -> list[str]:
    with_bars, current = Symbol.objects.with_bars(), Forecast.objects.from_newest_bar().values("symbol").distinct()
    return [f"{with_bars.count()} symbols would be forecast; {current.count()} of them have a forecast from their newest bar."]


def _retrain(report: Report, now: datetime) -> bool:
    """Requests trainings; the first reason counts."""
    requested: dict[int, Training] = {}
    for reason, symbols in _retrainings().items():
        new = [symbol for symbol in symbols if symbol.pk not in requested]
        requested |= training_requests.request_unless_resting(new, reason=reason, now=now)
    report["retrainings"] = len(requested)
    return True


def _foretell_retrainings(report: Report, now: datetime) -> list[str]:
    def line(reason: TrainingReason, symbols: list[Symbol]) -> str:
        names = ", ".join(symbol.ticker for symbol in symbols[:SHOWN]) + (", ..." if len(symbols) > SHOWN else "")
        return f"Retrained because of {reason.label}: {len(symbols)}{f' ({names})' if names else ''}."

    return [line(reason, symbols) for reason, symbols in _retrainings().items()]


def _retrainings() -> dict[TrainingReason, list[Symbol]]:
    """The symbols whose models have lost performance, whose bars were revised since their training, and those that are old.

    Age and bars are those of the newest version, which may have been rejected: another one like it would be, too.
    """
    followed, newest = Symbol.objects.followed(), ModelVersion.objects.exclude(symbol=None).newest_per_symbol()
    old = newest.older_than(timedelta(days=settings.MODEL_MAX_AGE_DAYS))
    return {
        TrainingReason.PERFORMANCE_LOST: [symbol for batch in _batches() for symbol in monitoring.lost_performance(batch)],
        TrainingReason.DATA_REVISED: list(followed.filter(versions__in=newest.on_revised_bars())),
        TrainingReason.TOO_OLD: list(followed.filter(versions__in=old)),
    }


def _refresh_base(report: Report, now: datetime) -> bool:
    report["base_retraining"] = refresh_base()
    return True


def _foretell_base(report: Report, now: datetime) -> list[str]:
    return [f"The base model would {'' if _base_is_due() else 'not '}be trained again."]


def refresh_base() -> bool:
    """Requests a new base if one is due; returns whether it is."""
    if due := _base_is_due():
        training_requests.request_base(reason=TrainingReason.TOO_OLD)
    return due


def _base_is_due() -> bool:
    """Whether enough symbols have bars that are newer, by BASE_MAX_AGE_DAYS, than the end of the present one's data.

    Old prices would only give an old base again. One that was trained here not long ago stays in any case: it may have left the
    newer prices out, because they are too many or do not pass the gate.
    """
    age = timedelta(days=settings.BASE_MAX_AGE_DAYS)
    bases, symbols = ModelVersion.objects.filter(symbol=None), Symbol.objects.with_history(ForecastConfig().minimum_bars)
    if active := bases.active().first():
        symbols = symbols.with_bar_since(active.data_end + age)
    enough = symbols[: settings.BASE_MIN_SYMBOLS].count() == settings.BASE_MIN_SYMBOLS
    return enough and not bases.exclude(training=None).exclude(pk__in=bases.older_than(age)).exists()


def _tidy(report: Report, now: datetime) -> bool:
    report["files_expired"], report["folders_removed"] = registry.expire_files(), registry.sweep()
    return True


def _foretell_tidying(report: Report, now: datetime) -> list[str]:
    expired = ModelVersion.objects.all().beyond_newest(settings.KEEP_VERSIONS).count()
    return [f"Files of {expired} old versions would be given up, {len(registry.orphans())} folders removed."]


def _batches() -> Iterator[list[Symbol]]:
    """The symbols with bars, by FORECAST_BATCH, in the order of their keys."""
    last = 0
    with_bars = Symbol.objects.with_bars().order_by("pk")
    while batch := list(with_bars.filter(pk__gt=last)[:FORECAST_BATCH]):
        yield batch
        last = batch[-1].pk


def _note(job: JobRun, state: JobState, *, error: str = "") -> None:
    job.state, job.error = state, error
    job.finished_at = None if state == JobState.RUNNING else timezone.now()
    job.save()


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


PLAN = (
    Step(_sync, _foretell_sync),
    Step(_score, _foretell_scores),
    Step(_forecast, _foretell_forecasts),
    Step(_retrain, _foretell_retrainings),
    Step(_refresh_base, _foretell_base),
    Step(_tidy, _foretell_tidying),
)
