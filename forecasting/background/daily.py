"""The daily job: one plan of steps, which a run executes and a dry run describes."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.tasks import async_task

from forecasting import leads, ledger, live, market, monitoring, registry, serving
from forecasting.models import Delivery, Forecast, JobRun, ModelVersion, RequestedName, Symbol, Training
from forecasting.models.jobs import JobState
from forecasting.models.locks import Lock, lock_if_free
from forecasting.models.outcomes import forget_old_tasks
from forecasting.models.symbols import SymbolQuerySet
from forecasting.models.trainings import TrainingReason
from forecasting.pipeline.config import ForecastConfig
from forecasting.prices.sources import PausedError, PriceSourceError, RateLimitedError, UpstreamUnavailableError
from forecasting.training import requests as training_requests

DAILY_JOB = "daily"
SLICE_SECONDS = 240  # seconds of syncing per task, well below the task's time limit; the next task continues
GIVE_UP_AFTER = 5  # symbols in a row for which the price source was unavailable
FORECAST_BATCH = 100  # symbols
SHOWN = 10  # symbols per reason that a dry run lists

Report = dict[str, Any]  # what a run has done so far; the next task continues from it

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the daily job. `do` adds to the report and returns whether it is done; `describe` changes nothing."""

    do: Callable[[Report, datetime], bool]
    describe: Callable[[Report, datetime], list[str]]


def run(day: date | None = None) -> str:
    """Runs the daily job of a date, by default today's, or the next part of it; returns what happened.

    Does nothing if the run is done or in progress elsewhere. An interrupted run continues. Whatever the date, prices, scores and
    forecasts are brought up to date as of now.
    """
    now = timezone.now()
    with lock_if_free(Lock.DAILY) as mine:
        if not mine:
            return "in progress elsewhere"
        job, _ = JobRun.objects.get_or_create(job=DAILY_JOB, date=day or timezone.localdate(now))
        if job.state == JobState.SUCCEEDED and not _may_resume_syncing(job):
            return "already done"
        _record(job, JobState.RUNNING)
        try:
            done = all(step.do(job.report, now) for step in PLAN)
        except BaseException as error:  # django-q's timeout is a SystemExit; record any error in the run
            connection.close()  # the connection may be what failed
            _record(job, JobState.FAILED, error=f"{type(error).__name__}: {error}")
            raise
        _record(job, JobState.SUCCEEDED if done else JobState.RUNNING)
    if not done:
        request(day)
        return "not finished"
    logger.info("daily job done: %s", job.report)
    return "done"


def resume() -> str:
    """Continues today's run if it failed, died, or could not sync all symbols. If there is no run, it is not due yet."""
    job = JobRun.objects.filter(job=DAILY_JOB, date=timezone.localdate()).first()
    unfinished = job is not None and (job.state != JobState.SUCCEEDED or _may_resume_syncing(job))
    return run() if unfinished else "nothing to resume"


def describe(day: date) -> list[str]:
    """What the run of a date would do now, one line per step. Changes nothing."""
    job = JobRun.objects.filter(job=DAILY_JOB, date=day).first()
    report = dict(job.report) if job else {}
    lines = [line for step in PLAN for line in step.describe(report, timezone.now())]
    return [f"Run of {day}: {job.state if job else 'none yet'}.", *lines]


def request(day: date | None = None) -> None:
    """Enqueues the daily job of a date; by default, of the day on which the task runs."""
    async_task("forecasting.background.tasks.daily_job", *([day] if day else []))


def sync_one(symbol: Symbol, *, now: datetime) -> PriceSourceError | None:
    """Syncs one symbol's bars; returns the error if that fails."""
    try:
        market.sync(symbol, now=now)
    except PriceSourceError as error:
        logger.warning("syncing prices failed: %s", error, extra={"symbol": symbol.ticker})
        return error
    return None


def _sync(report: Report, now: datetime) -> bool:
    """Syncs the symbols in the order of their keys, for at most SLICE_SECONDS; True if syncing is over for now.

    It stops at once if the price source limits our rate, is paused, or is unavailable for GIVE_UP_AFTER symbols in a row. More
    requests would make that worse. The job then continues with the next step. Once the source accepts requests again, syncing
    resumes at the symbol where it stopped.
    """
    if market.is_paused():
        report.setdefault("sync_ended", "The price source is paused.")
        return True
    report.pop("sync_ended", None)
    leads.create_missing()
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


def _describe_sync(report: Report, now: datetime) -> list[str]:
    paused = " (the price source is paused now)" if market.is_paused() else ""
    return [f"Prices of {_unsynced(report, now).count()} symbols would be synced{paused}."]


def _unsynced(report: Report, now: datetime) -> SymbolQuerySet:
    """The symbols that this run has not tried yet."""
    return Symbol.objects.worth_asking(now=now).filter(pk__gt=report.get("last_symbol", 0)).order_by("pk")


def _may_resume_syncing(job: JobRun) -> bool:
    """Whether a run has not synced all symbols and the price source may be asked again."""
    return "sync_ended" in job.report and not market.is_paused()


def _score(report: Report, now: datetime) -> bool:
    report["scored"] = ledger.score_due()
    live.calibrate()
    return True


def _describe_scores(report: Report, now: datetime) -> list[str]:
    return [f"{Forecast.objects.due().count()} due forecasts would be scored."]


def _forecast(report: Report, now: datetime) -> bool:
    """Issues every symbol's forecast, batch by batch; reports their number, and each failure's reason by ticker."""
    report["forecasts"], report["not_forecast"] = 0, {}
    for batch in _batches():
        own = {version.symbol_id: version for version in ModelVersion.objects.active().of(batch)}
        forecasts, errors = serving.serve(serving.serving_versions({symbol: own.get(symbol.pk) for symbol in batch}))
        report["forecasts"] += len(forecasts)
        report["not_forecast"] |= {symbol.ticker: error for symbol, error in errors.items()}
    return True


def _describe_forecasts(report: Report, now: datetime) -> list[str]:
    with_bars = Symbol.objects.followed().with_bars()
    current = Forecast.objects.filter(symbol__removed_at=None).of_next_close().from_newest_bar().values("symbol").distinct()
    return [f"{with_bars.count()} symbols would be forecast; {current.count()} of them have a forecast from their newest bar."]


def _retrain(report: Report, now: datetime) -> bool:
    """Requests trainings; if a symbol has several reasons, the first one counts."""
    requested: dict[int, Training] = {}
    for reason, symbols in _retrainings().items():
        new = [symbol for symbol in symbols if symbol.pk not in requested]
        requested |= training_requests.request_unless_cooling_down(new, reason=reason, now=now)
    report["retrainings"] = len(requested)
    return True


def _describe_retrainings(report: Report, now: datetime) -> list[str]:
    def line(reason: TrainingReason, symbols: list[Symbol]) -> str:
        names = ", ".join(symbol.ticker for symbol in symbols[:SHOWN]) + (", ..." if len(symbols) > SHOWN else "")
        return f"Symbols to retrain ({reason.label}): {len(symbols)}{f' ({names})' if names else ''}."

    return [line(reason, symbols) for reason, symbols in _retrainings().items()]


def _retrainings() -> dict[TrainingReason, list[Symbol]]:
    """Symbols whose models have lost performance, whose bars were revised since the training, or whose models are old.

    Age and bars are those of the newest version, even if it was rejected: a new one on the same bars would be rejected too.
    """
    followed, newest = Symbol.objects.followed().known(), ModelVersion.objects.exclude(symbol=None).newest_per_symbol()
    old = newest.older_than(timedelta(days=settings.MODEL_MAX_AGE_DAYS))
    return {
        TrainingReason.PERFORMANCE_LOST: [symbol for batch in _batches() for symbol in monitoring.lost_performance(batch)],
        TrainingReason.DATA_REVISED: list(followed.filter(versions__in=newest.on_revised_bars())),
        TrainingReason.TOO_OLD: list(followed.filter(versions__in=old)),
    }


def _refresh_base(report: Report, now: datetime) -> bool:
    report["base_retraining"] = refresh_base()
    return True


def _describe_base(report: Report, now: datetime) -> list[str]:
    return [f"The base model would {'' if _base_is_due() else 'not '}be retrained."]


def refresh_base() -> bool:
    """Requests a new base if one is due; returns whether it is."""
    if due := _base_is_due():
        training_requests.request_base(reason=TrainingReason.TOO_OLD)
    return due


def _base_is_due() -> bool:
    """Whether enough symbols have bars at least BASE_MAX_AGE_DAYS newer than the data of the active base.

    The same prices would only give the same base. A base that was trained here recently is kept: it may have excluded newer
    prices, because of their number or the quality gate.
    """
    age = timedelta(days=settings.BASE_MAX_AGE_DAYS)
    bases, symbols = (
        ModelVersion.objects.filter(symbol=None),
        Symbol.objects.followed().with_history(ForecastConfig().minimum_bars),
    )
    if active := bases.active().first():
        symbols = symbols.with_bar_since(active.data_end + age)
    enough = symbols[: settings.BASE_MIN_SYMBOLS].count() == settings.BASE_MIN_SYMBOLS
    return enough and not bases.exclude(training=None).exclude(pk__in=bases.older_than(age)).exists()


def _tidy(report: Report, now: datetime) -> bool:
    report["files_expired"], report["folders_removed"] = registry.expire_files(), registry.sweep()
    report["symbols_forgotten"] = len(market.forget(market.forgettable(now=now)))
    report["names_expired"], _ = RequestedName.objects.expired(now=now).delete()
    Delivery.objects.all().old().delete()
    forget_old_tasks()
    return True


def _describe_tidying(report: Report, now: datetime) -> list[str]:
    expired = ModelVersion.objects.all().beyond_newest(settings.KEEP_VERSIONS).count()
    return [
        f"Files of {expired} old versions and {len(registry.orphans())} orphaned folders would be removed.",
        f"{market.forgettable(now=now).count()} symbols that never had prices would be forgotten.",
    ]


def _batches() -> Iterator[list[Symbol]]:
    """The followed symbols with bars, in batches of FORECAST_BATCH, in the order of their keys."""
    last = 0
    with_bars = Symbol.objects.followed().with_bars().order_by("pk")
    while batch := list(with_bars.filter(pk__gt=last)[:FORECAST_BATCH]):
        yield batch
        last = batch[-1].pk


def _record(job: JobRun, state: JobState, *, error: str = "") -> None:
    job.state, job.error = state, error
    job.finished_at = None if state == JobState.RUNNING else timezone.now()
    job.save()


PLAN = (
    Step(_sync, _describe_sync),
    Step(_score, _describe_scores),
    Step(_forecast, _describe_forecasts),
    Step(_retrain, _describe_retrainings),
    Step(_refresh_base, _describe_base),
    Step(_tidy, _describe_tidying),
)
