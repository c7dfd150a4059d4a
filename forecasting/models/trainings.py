"""Trainings. The row is the source of truth; the django-q2 task only wakes a worker."""

import statistics
from collections.abc import Iterable
from datetime import timedelta

from django.db import models
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now

from forecasting.models.symbols import Symbol

MAX_ATTEMPTS = 3
MEASURED = 20  # number of recent trainings for the estimate of a duration (their median)


class TrainingState(models.TextChoices):
    """The state of a training."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_STATES = (TrainingState.QUEUED, TrainingState.RUNNING)


class TrainingReason(models.TextChoices):
    """Why a symbol is trained."""

    REQUESTED = "requested", "requested by staff or a key"
    NEVER_TRAINED = "never_trained", "never trained"
    FILES_DAMAGED = "files_damaged", "model files missing or damaged"
    ASKED_ANONYMOUSLY = "asked_anonymously", "asked anonymously"
    PERFORMANCE_LOST = "performance_lost", "performance lost"
    DATA_REVISED = "data_revised", "data revised"
    TOO_OLD = "too_old", "too old"


class Outcome(models.TextChoices):
    """How a trainer's attempt ended."""

    PUBLISHED = "published"
    FAILED = "failed"
    RETRY = "retry"
    REFUSED = "refused"


# Higher is more urgent. What strangers ask ranks below every first training.
PRIORITIES = {
    TrainingReason.REQUESTED: 50,
    TrainingReason.NEVER_TRAINED: 40,
    TrainingReason.FILES_DAMAGED: 35,
    TrainingReason.ASKED_ANONYMOUSLY: 33,
    TrainingReason.PERFORMANCE_LOST: 30,
    TrainingReason.DATA_REVISED: 20,
    TrainingReason.TOO_OLD: 10,
}


class TrainingQuerySet(models.QuerySet["Training"]):
    """Reads of trainings. Times are compared by the database's clock, because clocks of machines differ."""

    def active(self) -> "TrainingQuerySet":
        """Queued or running."""
        return self.filter(state__in=ACTIVE_STATES)

    def queued(self) -> "TrainingQuerySet":
        """Waiting for a trainer."""
        return self.filter(state=TrainingState.QUEUED)

    def claimable(self) -> "TrainingQuerySet":
        """Queued and due; the most urgent first."""
        return self.queued().filter(not_before__lte=Now()).in_claim_order()

    def in_claim_order(self) -> "TrainingQuerySet":
        """The most urgent first; among equals the oldest."""
        return self.order_by("-priority", "created_at", "pk")

    def in_queue_order(self) -> "TrainingQuerySet":
        """Active ones as they end: running, then due ones in claim order, then those that are not due yet."""
        place = Case(When(state=TrainingState.RUNNING, then=0), When(not_before__lte=Now(), then=1), default=2)
        return self.order_by(place, "-priority", "created_at", "pk")

    def running(self) -> "TrainingQuerySet":
        """Claimed by a trainer; the lease may have expired."""
        return self.filter(state=TrainingState.RUNNING)

    def expired(self) -> "TrainingQuerySet":
        """Running with an expired lease."""
        return self.running().filter(lease_expires_at__lt=Now())

    def held(self, *, training_id: int, fence: int) -> "TrainingQuerySet":
        """The training if this fence still owns it, else nothing. Every write of a trainer goes through this filter."""
        return self.running().filter(pk=training_id, fence=fence)

    def of(self, symbols: Iterable[Symbol]) -> "TrainingQuerySet":
        """Trainings of these symbols."""
        return self.filter(symbol__in=list(symbols))

    def with_version(self) -> "TrainingQuerySet":
        """Adds `version_id` and `version_number` of the version that the training produced; None without one."""
        return self.annotate(version_id=F("version__pk"), version_number=F("version__number"))

    def typical_seconds(self) -> float | None:
        """Median duration of the last trainings that succeeded at the first attempt; None without any."""
        undisturbed = self.filter(state=TrainingState.SUCCEEDED, attempts=1).order_by("-finished_at")
        ends = undisturbed.values_list("started_at", "finished_at")[:MEASURED]
        durations = [(finished - started).total_seconds() for started, finished in ends if started and finished]
        return statistics.median(durations) if durations else None

    def newest_first(self) -> "TrainingQuerySet":
        """By the time of the request."""
        return self.order_by("-created_at", "-pk")

    def newest_per_symbol(self) -> "TrainingQuerySet":
        """The latest training of each symbol."""
        return self.order_by("symbol_id", "-created_at", "-pk").distinct("symbol_id")


class Training(models.Model):
    """One training of one symbol, or of the base model if `symbol` is empty."""

    symbol = models.ForeignKey(Symbol, null=True, blank=True, on_delete=models.CASCADE, related_name="trainings")
    state = models.CharField(max_length=12, choices=TrainingState, default=TrainingState.QUEUED)
    reason = models.CharField(max_length=20, choices=TrainingReason)
    figures = models.TextField(blank=True, db_default="", help_text="What performance was lost; empty for other reasons.")
    priority = models.SmallIntegerField()
    requested_by = models.CharField(max_length=200, blank=True, db_default="", help_text="Empty if nobody asked.")
    request_id = models.CharField(max_length=64, blank=True, db_default="", help_text="Of the request; empty without one.")
    attempts = models.PositiveSmallIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0, help_text="Increased by every claim; a trainer with an older fence is refused.")
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    claimed_by = models.CharField(max_length=100, blank=True, help_text="The task cluster or terminal that runs it.")
    not_before = models.DateTimeField(db_default=Now(), help_text="The earliest time of the next attempt.")
    stage = models.CharField(max_length=20, blank=True)
    progress = models.FloatField(default=0.0, help_text="Fraction done, 0 to 1.")
    epoch = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Epoch within the stage; empty without epochs.")
    epochs = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Maximum number of epochs in the stage.")
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TrainingQuerySet.as_manager()

    class Meta:
        default_permissions = ("view", "change")  # change: to run its actions
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol"],
                condition=Q(state__in=ACTIVE_STATES),
                nulls_distinct=False,
                name="training_one_active_per_symbol",
            ),
            models.CheckConstraint(condition=Q(state__in=TrainingState.values), name="training_state_known"),
            models.CheckConstraint(condition=Q(reason__in=TrainingReason.values), name="training_reason_known"),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="training_progress_is_a_fraction"),
            models.CheckConstraint(
                condition=~Q(state=TrainingState.RUNNING) | Q(lease_expires_at__isnull=False),
                name="training_running_has_lease",
            ),
            models.CheckConstraint(
                condition=Q(state__in=ACTIVE_STATES) | Q(finished_at__isnull=False), name="training_ended_has_time"
            ),
            models.CheckConstraint(condition=~Q(state=TrainingState.FAILED) | ~Q(error=""), name="training_failed_says_why"),
        ]
        indexes = [
            models.Index(
                F("priority").desc(),
                F("created_at"),
                condition=Q(state=TrainingState.QUEUED),
                name="training_claim_order",
            ),
            models.Index(F("symbol"), F("created_at").desc(), name="training_newest"),
            models.Index(F("lease_expires_at"), condition=Q(state=TrainingState.RUNNING), name="training_lease"),
            models.Index(
                F("finished_at").desc(), condition=Q(state=TrainingState.SUCCEEDED, attempts=1), name="training_durations"
            ),
        ]

    def __str__(self) -> str:
        return f"Training {self.pk} of {self.subject}"

    @property
    def subject(self) -> str:
        """The symbol, or `base`."""
        return self.symbol.ticker if self.symbol else "base"

    @property
    def log_fields(self) -> dict[str, object]:
        """Extra fields of log lines about this training."""
        return {"symbol": self.subject, "training": self.pk} | ({"request_id": self.request_id} if self.request_id else {})

    @property
    def is_active(self) -> bool:
        """Queued or running."""
        return self.state in ACTIVE_STATES

    @property
    def duration(self) -> timedelta | None:
        """Time from the first start to the end; None before the end."""
        return self.finished_at - self.started_at if self.started_at and self.finished_at else None
