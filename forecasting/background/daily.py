"""The daily job: one plan of steps, which a run executes and a dry run describes.

A task does a part of a run, and the next task goes on: with many symbols, all of it would take longer than a task may.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.tasks import async_task

from forecasting import live, market, monitoring, registry, scoring, serving
from forecasting.background import daily_sync
from forecasting.background.daily_sync import Report
from forecasting.models import Delivery, Forecast, JobRun, ModelVersion, RequestedName, Symbol, Training
from forecasting.models.jobs import JobState
from forecasting.models.locks import Lock, lock_if_free
from forecasting.models.outcomes import forget_old_tasks
from forecasting.models.trainings import TrainingReason
from forecasting.pipeline.config import ForecastConfig
from forecasting.training import requests as training_requests

DAILY_JOB = "daily"
BATCH = 100  # symbols
AUTOMATIC = (TrainingReason.PERFORMANCE_LOST, TrainingReason.DATA_REVISED, TrainingReason.TOO_OLD)
SHOWN = 10  # symbols per reason that a dry run lists

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the daily job. `do` adds to the report and returns whether it is done; `describe` changes nothing."""

    do: Callable[[Report, datetime], bool]
    describe: Callable[[Report, datetime], list[str]]


def due_date() -> date:
    """The date of the run that is due: the last day on which DAILY_TASK_HOUR has come, so that no run ends at midnight."""
    return (timezone.localtime().replace(tzinfo=None) - timedelta(hours=settings.DAILY_TASK_HOUR)).date()


def run(day: date | None = None) -> str:
    """Runs the daily job of a date, by default the one that is due, or the next part of it; returns what happened.

    Does nothing if the run is done or in progress elsewhere. An interrupted run continues, and an incomplete one if that may help.
    Whatever the date, prices, scores and forecasts are brought up to date as of now.
    """
    now = timezone.now()
    with lock_if_free(Lock.DAILY) as mine:
        if not mine:
            return "in progress elsewhere"
        job, _ = JobRun.objects.get_or_create(job=DAILY_JOB, date=day or due_date())
        if _is_over(job):
            return "already done"
        _record(job, JobState.RUNNING)
        try:
            done = _go_on(job.report, now)
        except BaseException as error:  # django-q's timeout is a SystemExit; record any error in the run
            connection.close()  # the connection may be what failed
            _record(job, JobState.FAILED, error=f"{type(error).__name__}: {error}")
            raise
        missing = daily_sync.what_is_missing(job.report)
        _record(job, (JobState.INCOMPLETE if missing else JobState.SUCCEEDED) if done else JobState.RUNNING, error=missing)
    if not done:
        request(job.date)
        return "not finished"
    logger.info("daily job %s: %s", job.told_state, job.report)
    return "incomplete" if missing else "done"


def resume() -> str:
    """Continues the run that is due if it failed, died, or is incomplete, or could not begin because the one before still ran."""
    job = JobRun.objects.filter(job=DAILY_JOB).order_by("-date").first()
    due = due_date()
    return "nothing to resume" if job is None or (job.date >= due and _is_over(job)) else run(max(job.date, due))


def describe(day: date) -> list[str]:
    """What the run of a date would do now, one line per step. Changes nothing."""
    job = JobRun.objects.filter(job=DAILY_JOB, date=day).first()
    report = dict(job.report) if job else {}
    lines = [line for step in PLAN for line in step.describe(report, timezone.now())]
    return [f"Run of {day}: {job.told_state if job else 'none yet'}.", *lines]


def request(day: date | None = None) -> None:
    """Enqueues the daily job of a date; by default, of the one that is due when the task runs."""
    async_task("forecasting.background.tasks.daily_job", *([day] if day else []))


def _go_on(report: Report, now: datetime) -> bool:
    """Does the steps that this round has not done, for about SLICE_SECONDS; returns whether it has done all."""
    ends, done = time.monotonic() + daily_sync.SLICE_SECONDS, report.setdefault("steps_done", [])
    for step in PLAN:
        name = step.do.__name__.strip("_")
        if name in done:
            continue
        if not step.do(report, now):
            return False
        done.append(name)
        if time.monotonic() > ends and step != PLAN[-1]:
            return False
    del report["steps_done"]
    return True


def _is_over(job: JobRun) -> bool:
    """Whether there is nothing left to do, or nothing that can be done now."""
    return job.state == JobState.SUCCEEDED or (job.state == JobState.INCOMPLETE and not daily_sync.may_go_on(job.report))


def _score(report: Report, now: datetime) -> bool:
    report["scored"] = report.get("scored", 0) + scoring.score_due()
    live.calibrate()
    return True


def _describe_scores(report: Report, now: datetime) -> list[str]:
    return [f"{Forecast.objects.due().count()} due forecasts would be scored."]


def _forecast(report: Report, now: datetime) -> bool:
    """Issues every symbol's forecast; reports their number, and each failure's reason by ticker."""

    def issue(batch: list[Symbol]) -> None:
        own = {version.symbol_id: version for version in ModelVersion.objects.active().of(batch)}
        forecasts, errors = serving.serve(serving.serving_versions({symbol: own.get(symbol.pk) for symbol in batch}))
        report["forecasts"] += len(forecasts)
        report["not_forecast"] |= {symbol.ticker: error for symbol, error in errors.items()}

    if "forecast_to" not in report:
        report |= {"forecasts": 0, "not_forecast": {}}
    return _for_each_batch(report, "forecast_to", issue)


def _describe_forecasts(report: Report, now: datetime) -> list[str]:
    with_bars = Symbol.objects.followed().with_bars()
    current = Forecast.objects.filter(symbol__removed_at=None).of_next_close().from_newest_bar().values("symbol").distinct()
    return [f"{with_bars.count()} symbols would be forecast; {current.count()} of them have a forecast from their newest bar."]


def _retrain(report: Report, now: datetime) -> bool:
    """Requests trainings; if a symbol has several reasons, the first one counts. Reports how many are new."""

    def request_due(batch: list[Symbol]) -> None:
        requested: dict[int, Training] = {}
        active = set(Training.objects.active().of(batch).values_list("pk", flat=True))
        for reason, symbols in _retrainings(batch, keep=True).items():
            new = {symbol: figures for symbol, figures in symbols.items() if symbol.pk not in requested}
            requested |= _request(new, reason=reason, now=now)
        report["retrainings"] += sum(training.pk not in active for training in requested.values())

    report.setdefault("retrainings", 0)
    return _for_each_batch(report, "retrained_to", request_due)


@transaction.atomic
def _request(symbols: Mapping[Symbol, str], *, reason: TrainingReason, now: datetime) -> dict[int, Training]:
    """Requests trainings, and notes with each the figures that it is requested for, if any."""
    requested = training_requests.request_unless_cooling_down(symbols, reason=reason, now=now)
    for symbol, figures in symbols.items():
        if figures and symbol.pk in requested:
            Training.objects.filter(pk=requested[symbol.pk].pk, reason=reason).update(figures=figures)
    return requested


def _describe_retrainings(report: Report, now: datetime) -> list[str]:
    found: dict[TrainingReason, list[str]] = {}
    for batch in _batches():
        for reason, symbols in _retrainings(batch).items():
            found.setdefault(reason, []).extend(symbol.ticker for symbol in symbols)

    def line(reason: TrainingReason, tickers: list[str]) -> str:
        names = ", ".join(tickers[:SHOWN]) + (", ..." if len(tickers) > SHOWN else "")
        return f"Symbols to retrain ({reason.label}): {len(tickers)}{f' ({names})' if names else ''}."

    return [line(reason, found.get(reason, [])) for reason in AUTOMATIC]


def _retrainings(batch: list[Symbol], *, keep: bool = False) -> dict[TrainingReason, dict[Symbol, str]]:
    """Those of these symbols whose models have lost performance, whose bars were revised since the training, or whose models are
    old, except those whose automatic training is paused.

    Each has the figures of the performance lost; empty for other reasons. `keep` stores those of all versions for the admin.
    Age and bars are those of the newest version, even if it was rejected: a new one on the same bars would be rejected too.
    """
    wanted = Symbol.objects.filter(pk__in=[symbol.pk for symbol in batch]).known().trained_automatically()
    newest = ModelVersion.objects.of(batch).newest_per_symbol()
    old = newest.older_than(timedelta(days=settings.MODEL_MAX_AGE_DAYS))
    return {
        TrainingReason.PERFORMANCE_LOST: monitoring.lost_performance([each for each in batch if not each.paused_at], keep=keep),
        TrainingReason.DATA_REVISED: dict.fromkeys(wanted.filter(versions__in=newest.on_revised_bars()), ""),
        TrainingReason.TOO_OLD: dict.fromkeys(wanted.filter(versions__in=old), ""),
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


def _for_each_batch(report: Report, place: str, do: Callable[[list[Symbol]], None]) -> bool:
    """Does this with each batch of symbols, for at most SLICE_SECONDS; returns whether all are done. `place` in the report is the
    key up to which they are, for the task that goes on."""
    ends = time.monotonic() + daily_sync.SLICE_SECONDS
    for batch in _batches(after=report.get(place, 0)):
        do(batch)
        report[place] = batch[-1].pk
        if time.monotonic() > ends:
            return False
    report.pop(place, None)
    return True


def _batches(*, after: int = 0) -> Iterator[list[Symbol]]:
    """The followed symbols with bars and a key above `after`, in batches of BATCH, in the order of their keys."""
    with_bars = Symbol.objects.followed().with_bars().order_by("pk")
    while batch := list(with_bars.filter(pk__gt=after)[:BATCH]):
        yield batch
        after = batch[-1].pk


def _record(job: JobRun, state: JobState, *, error: str = "") -> None:
    job.state, job.error = state, error
    job.finished_at = None if state == JobState.RUNNING else timezone.now()
    job.save()


PLAN = (
    Step(daily_sync.sync, daily_sync.describe),
    Step(_score, _describe_scores),
    Step(_forecast, _describe_forecasts),
    Step(_retrain, _describe_retrainings),
    Step(_refresh_base, _describe_base),
    Step(_tidy, _describe_tidying),
)
