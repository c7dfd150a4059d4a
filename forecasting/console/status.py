"""The status strip: one light with a sentence for each part that has to work."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.conf import settings
from django.utils import timezone

from forecasting import readiness
from forecasting.console.prices import Freshness
from forecasting.console.trainings import Activity
from forecasting.models import JobRun, ModelVersion
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingState
from forecasting.readiness import Part, State

DAYS = 30  # of the daily job
NEVER = "without a run"


@dataclass(frozen=True, slots=True)
class Light:
    """A part with its state, a sentence, and the list that shows more."""

    name: str
    part: Part
    model: str
    query: Mapping[str, str] = field(default_factory=dict)
    days: "Sequence[Day]" = ()

    @property
    def told_days(self) -> str:
        """How many runs ended how, such as `28 succeeded, 2 failed`."""
        counted = Counter(day.state for day in self.days)
        return ", ".join(f"{counted[state]} {state}" for state in (*JobState.values, NEVER) if counted[state])


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the daily job; `state` is NEVER without a run."""

    date: date
    state: str
    told: str


def daily_job(*, today: date) -> Light:
    """One query; two if the database is new."""
    runs = list(JobRun.objects.order_by("-date")[:DAYS])
    by_date = {run.date: run for run in runs}
    dates = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    return Light("Daily job", readiness.daily_job(runs), "jobrun", days=[_day(date, by_date.get(date)) for date in dates])


def workers(absent: str) -> Light:
    """By the `absence` of the clusters."""
    return Light("Workers", readiness.worker(absent), "workerprocess")


def queue(activity: Activity, *, absent: str, now: datetime) -> Light:
    """Amber if a training failed lately; says when the queue will be empty, unless the worker is `absent`. One query."""
    ends = activity.ends_in and not absent and f" until about {_moment(activity.ends_in, now=now)}"
    counts = [
        f"{activity.count(TrainingState.RUNNING):,} running",
        f"{activity.count(TrainingState.QUEUED):,} waiting{ends or ''}",
        f"{activity.failed_lately:,} failed in 24 hours",
    ]
    part, text = readiness.queue(), f"{', '.join(counts)}."
    if not part.is_ready:
        return Light("Queue", Part(part.status, f"{part.text} {text}"), "training")
    return Light("Queue", Part(State.WARNING if activity.failed_lately else State.OK, text), "training")


def price_source() -> Light:
    """One query if the source is remote."""
    return Light("Price source", readiness.price_source(), "upstream")


def bars(freshness: Freshness) -> Light:
    """How many symbols have all completed sessions but the last; red if half of them have not."""
    if not freshness.total:
        return Light("Prices", Part(State.UNKNOWN, "There are no symbols yet."), "symbol")
    behind = freshness.stale + len(freshness.unpriced)
    text = f"{freshness.total - behind:,} of {freshness.total:,} symbols up to date"
    found = ((freshness.stale, "stale"), (len(freshness.unpriced), "without prices"))
    text = ", ".join([text, *(f"{count:,} {what}" for count, what in found if count)])
    state = State.OK if not behind else State.FAILED if 2 * behind >= freshness.total else State.WARNING
    return Light("Prices", Part(state, f"{text}."), "symbol")


def base(*, today: date) -> Light:
    """The age of the data of the base that serves. One query."""
    query = {"symbol__isnull": "True", "state__exact": "active"}
    active = ModelVersion.objects.active().filter(symbol=None).only("data_end").first()
    if active is None:
        return Light(
            "Base model", Part(State.UNKNOWN, "None yet; the first forecast installs the shipped one."), "modelversion", query
        )
    days = (today - active.data_end).days
    text = f"Its data is {days:,} days old; up to {settings.BASE_MAX_AGE_DAYS} are usual."
    state = State.WARNING if days > settings.BASE_MAX_AGE_DAYS else State.OK
    return Light("Base model", Part(state, text), "modelversion", query)


def _moment(wait: timedelta, *, now: datetime) -> str:
    """The time after `wait`, with its date if that is another day."""
    end = timezone.localtime(now + wait)
    return f"{end:%H:%M}" if end.date() == timezone.localdate(now) else f"{end:%Y-%m-%d %H:%M}"


def _day(day: date, run: JobRun | None) -> Day:
    return Day(day, run.state, run.told_state) if run else Day(day, NEVER, NEVER)
