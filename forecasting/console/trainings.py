"""Trainings: those that run or wait, in their real order with expected waits, and how those of the last days ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Count, Q
from django.db.models.functions import Now, TruncDate
from django.utils import timezone

from forecasting.models import Training
from forecasting.models.trainings import ACTIVE_STATES, TrainingReason, TrainingState
from forecasting.training.positions import Position, position, seconds_for

DAYS = 14
SHOWN = 15  # of the trainings that run or wait
RECENT = timedelta(hours=24)
RESULTS = (TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Group:
    """The trainings of one day, reason and state. `day` is None for those that have not ended."""

    day: date | None
    reason: str
    state: str
    count: int
    recent: int  # that ended within RECENT


@dataclass(frozen=True, slots=True)
class Activity:
    """How many trainings run or wait, how many have ended in the last DAYS; if any runs or waits, how long one usually takes."""

    groups: Sequence[Group]
    typical_s: float | None

    def count(self, state: TrainingState, *, reason: str = "", day: date | None = None) -> int:
        """The trainings in this state, of a reason or a day if one is given."""
        chosen = (each for each in self.groups if each.state == state and reason in ("", each.reason) and day in (None, each.day))
        return sum(each.count for each in chosen)

    @property
    def failed_lately(self) -> int:
        """Those that failed within RECENT."""
        return sum(each.recent for each in self.groups if each.state == TrainingState.FAILED)

    @property
    def ends_in(self) -> timedelta | None:
        """When the queue will probably be empty; None if nothing waits, or before the first training has ended."""
        waiting = self.count(TrainingState.QUEUED)
        return timedelta(seconds=seconds_for(waiting, self.typical_s)) if waiting and self.typical_s else None


@dataclass(frozen=True, slots=True)
class Active:
    """A training that runs or waits."""

    training: Training
    position: Position

    @property
    def wait(self) -> timedelta | None:
        """Until it ends, probably."""
        return None if self.position.expected_wait_s is None else timedelta(seconds=self.position.expected_wait_s)


@dataclass(frozen=True, slots=True)
class Day:
    """How many trainings ended on a day, by result."""

    date: date
    succeeded: int
    failed: int
    cancelled: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.succeeded + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class Trainings:
    """What the panel shows."""

    active: Sequence[Active]
    more: int  # active ones that are not listed
    absent: str  # since when there is no worker
    days: Sequence[Day]  # oldest first
    reasons: Sequence[tuple[str, str, Sequence[int]]]  # value, name, and the number by result


def activity() -> Activity:
    """One query; two if a training runs or waits."""
    ended = Q(finished_at__date__gt=timezone.localdate() - timedelta(days=DAYS))
    recent = Count("pk", filter=Q(finished_at__gt=Now() - RECENT))
    rows = (
        Training.objects.filter(ended | Q(state__in=ACTIVE_STATES))
        .order_by()
        .values("reason", "state", day=TruncDate("finished_at"))
    )
    counted = rows.annotate(count=Count("pk"), recent=recent).values_list("day", "reason", "state", "count", "recent")
    groups = [Group(*row) for row in counted]
    return Activity(
        groups, Training.objects.all().typical_seconds() if any(each.state in ACTIVE_STATES for each in groups) else None
    )


def trainings(activity: Activity, *, absent: str, today: date) -> Trainings:
    """One query if any runs or waits; `absent` says since when no worker runs."""
    total = sum(activity.count(state) for state in ACTIVE_STATES)
    rows = list(Training.objects.active().select_related("symbol").in_queue_order()[:SHOWN]) if total else []
    running = sum(row.state == TrainingState.RUNNING for row in rows)
    numbered = [(row, max(0, place - running)) for place, row in enumerate(rows, start=1)]
    active = [Active(row, position(row, number, activity.typical_s, absent)) for row, number in numbered]
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    return Trainings(
        active=active,
        more=max(0, total - len(active)),
        absent=absent,
        days=[Day(day, *(activity.count(state, day=day) for state in RESULTS)) for day in days],
        reasons=[row for reason in TrainingReason if any((row := _by_result(activity, reason))[2])],
    )


def _by_result(activity: Activity, reason: TrainingReason) -> tuple[str, str, Sequence[int]]:
    return reason.value, reason.label, [activity.count(state, reason=reason) for state in RESULTS]
