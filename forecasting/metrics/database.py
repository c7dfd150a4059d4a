"""Figures that all processes share, read from the database at each scrape: a constant number of queries, on its clock.

Names and units are those of Prometheus: seconds, bytes, ratios, times instead of ages. No label has a symbol.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Count, Max, Min, Q
from django.db.models.functions import Now
from django_q.models import OrmQ
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from forecasting.models import JobRun, Summary, Training, Upstream, WorkerProcess
from forecasting.models.forecasts import Basis
from forecasting.models.jobs import JobState
from forecasting.models.trainings import ACTIVE_STATES, TrainingReason, TrainingState
from forecasting.models.upstream import BreakerState

CLUSTERS = ("short", "training")
FOLDERS = ("MEDIA_ROOT", "STATE_DIR", "LOG_DIR")
DURATIONS = (1, 2, 5, 10, 30, 60, 120, 300, 600)  # seconds

# Ended trainings by result and bucket of their duration (see DURATIONS); those that never started have no bucket.
TRAININGS = """
    SELECT state, width_bucket(seconds, %s::float8[]), count(*), coalesce(sum(seconds), 0)
    FROM (
        SELECT state, extract(epoch FROM finished_at - started_at)::float8 AS seconds
        FROM forecasting_training WHERE state <> ALL (%s)
    ) AS ended
    GROUP BY 1, 2
"""


class Shared(Collector):
    """Without the database, only whether it answers, and the disks."""

    def collect(self) -> Iterator[Metric]:
        """The families of a scrape."""
        try:
            found = [*_trainings(), *_ended(), *_tasks(), *_ledger(), *_daily_job(), *_price_source(), *_workers()]
        except (OperationalError, InterfaceError):
            found = []
        yield _gauge("database_up", "Whether the database answers.", [], [((), bool(found))])
        yield from found
        yield _gauge("disk_free_bytes", "Free space where this machine keeps files.", ["folder"], _disks())


def _gauge(name: str, text: str, labels: list[str], samples: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"stockpred_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: list[str], samples: Iterable[tuple[tuple[str, ...], float]]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"stockpred_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _trainings() -> Iterator[Metric]:
    grouped = (
        Training.objects.active().order_by().values("state", "reason").annotate(count=Count("pk"), wait=Now() - Min("created_at"))
    )
    found = {(row["state"], row["reason"]): (row["count"], row["wait"].total_seconds()) for row in grouped}
    queued = [(reason.value, found.get((TrainingState.QUEUED, reason), (0, 0.0))) for reason in TrainingReason]
    running = [(reason.value, found.get((TrainingState.RUNNING, reason), (0, 0.0))) for reason in TrainingReason]
    yield _gauge("trainings_waiting", "Trainings in the queue.", ["reason"], [((name,), count) for name, (count, _) in queued])
    waits = [((name,), wait) for name, (_, wait) in queued]
    yield _gauge("trainings_oldest_wait_seconds", "Since when the oldest one waits; 0 if none does.", ["reason"], waits)
    yield _gauge("trainings_running", "Trainings at work.", ["reason"], [((name,), count) for name, (count, _) in running])


def _ended() -> Iterator[Metric]:
    with connection.cursor() as cursor:
        cursor.execute(TRAININGS, [list(DURATIONS), list(ACTIVE_STATES)])
        rows = cursor.fetchall()
    results = [state.value for state in TrainingState if state not in ACTIVE_STATES]
    totals = [((each,), sum(count for state, _, count, _ in rows if state == each)) for each in results]
    yield _counter("trainings", "Trainings that have ended.", ["result"], totals)
    family = HistogramMetricFamily("stockpred_training_duration_seconds", "From the first start to the end.", labels=["result"])
    for each in results:
        buckets = {bucket: (count, seconds) for state, bucket, count, seconds in rows if state == each and bucket is not None}
        counts = [sum(count for bucket, (count, _) in buckets.items() if bucket <= place) for place in range(len(DURATIONS) + 1)]
        limits = [*map(float, DURATIONS), float("inf")]
        named = [(str(limit).replace("inf", "+Inf"), count) for limit, count in zip(limits, counts, strict=True)]
        family.add_metric([each], buckets=named, sum_value=sum(seconds for _, seconds in buckets.values()))
    yield family


def _tasks() -> Iterator[Metric]:
    """A task that is being run is locked until later."""
    waiting = OrmQ.objects.filter(key__in=CLUSTERS, lock__lte=Now()).order_by()
    grouped = waiting.values_list("key").annotate(count=Count("pk"), wait=Now() - Min("lock"))
    found = {key: (count, wait.total_seconds()) for key, count, wait in grouped}
    rows = [((name,), found.get(name, (0, 0.0))) for name in CLUSTERS]
    yield _gauge("tasks_waiting", "Background tasks in the queue.", ["cluster"], [(name, count) for name, (count, _) in rows])
    waits = [(name, wait) for name, (_, wait) in rows]
    yield _gauge("tasks_oldest_wait_seconds", "Since when the oldest one waits; 0 if none does.", ["cluster"], waits)


def _ledger() -> Iterator[Metric]:
    if (kept := Summary.objects.first()) is None:
        return
    yield _gauge("figures_timestamp_seconds", "When the next figures were computed.", [], [((), kept.computed_at.timestamp())])
    for name, text, counts in (("issued", "Forecasts issued.", kept.issued), ("scored", "Forecasts scored.", kept.scored)):
        yield _counter(f"forecasts_{name}", text, ["basis"], [((basis,), counts.get(basis, 0)) for basis in Basis.values])
    records = [((each["exchange"], str(each["sessions"])), each) for each in kept.records]
    for name, field, text in (
        ("coverage_ratio", "coverage", "Closes inside the interval, by the last sessions."),
        ("coverage_low_ratio", "low", "Lower end of the band of the coverage."),
        ("coverage_high_ratio", "high", "Upper end of the band of the coverage."),
        ("pinball_ratio", "pinball_ratio", "Quantile loss beside that of the reference."),
        ("scored_sessions", "seen", "Sessions that the record has."),
    ):
        samples = [(labels, each[field]) for labels, each in records if each[field] is not None]
        yield _gauge(name, text, ["exchange", "sessions"], samples)
    bars = [((exchange,), each) for exchange, each in kept.bars.items()]
    yield _gauge("symbols", "Symbols with bars.", ["exchange"], [(labels, each["symbols"]) for labels, each in bars])
    yield _gauge(
        "symbols_behind", "Those without the newest bar.", ["exchange"], [(labels, each["behind"]) for labels, each in bars]
    )
    newest = [(labels, _start(date.fromisoformat(each["newest"]))) for labels, each in bars]
    yield _gauge("bars_newest_timestamp_seconds", "Date of the newest bar.", ["exchange"], newest)


def _daily_job() -> Iterator[Metric]:
    succeeded = Max("finished_at", filter=Q(state=JobState.SUCCEEDED))
    found = JobRun.objects.aggregate(succeeded=succeeded, newest=Max("date"))
    last = JobRun.objects.order_by("-date").values_list("state", flat=True).first()
    states = [((state.value,), state == last) for state in JobState]
    yield _gauge("daily_job_state", "State of the newest run.", ["state"], states)
    yield _gauge("daily_job_success_timestamp_seconds", "When a run last succeeded.", [], _moment((), found["succeeded"]))


def _price_source() -> Iterator[Metric]:
    rows = [((row.source,), row) for row in Upstream.objects.filter(source=settings.PRICE_SOURCE)]
    paused = [(labels, row.state != BreakerState.CLOSED) for labels, row in rows]
    yield _gauge("price_source_paused", "Whether the price source is left alone.", ["source"], paused)
    yield _counter("price_source_requests", "Requests to it.", ["source"], [(labels, row.requests) for labels, row in rows])
    failed = [(labels, row.failed_requests) for labels, row in rows]
    yield _counter("price_source_failed_requests", "Requests that it refused or left unanswered.", ["source"], failed)
    last = [sample for labels, row in rows for sample in _moment(labels, row.last_success_at)]
    yield _gauge("price_source_success_timestamp_seconds", "When a request last succeeded.", ["source"], last)


def _workers() -> Iterator[Metric]:
    seen = WorkerProcess.objects.filter(cluster__in=CLUSTERS).order_by().values_list("cluster").annotate(Max("seen_at"))
    found = {cluster: moment.timestamp() for cluster, moment in seen}
    samples = [((cluster,), found.get(cluster, 0.0)) for cluster in CLUSTERS]  # 0, because an alert needs a sample
    yield _gauge(
        "worker_seen_timestamp_seconds",
        "When a process of the task cluster was last seen at work; 0 if never.",
        ["cluster"],
        samples,
    )


def _disks() -> list[tuple[tuple[str, ...], float]]:
    samples: list[tuple[tuple[str, ...], float]] = []
    for name in FOLDERS:
        with suppress(OSError):  # there is none, or its file system does not answer
            samples.append(((name.lower(),), shutil.disk_usage(getattr(settings, name)).free))
    return samples


def _moment(labels: tuple[str, ...], moment: datetime | None) -> list[tuple[tuple[str, ...], float]]:
    return [(labels, moment.timestamp())] if moment else []


def _start(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
