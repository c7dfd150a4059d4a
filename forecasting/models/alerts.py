"""Alerts: what is wrong now, what was, and whether the operator has been told."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class AlertEvent(models.TextChoices):
    """What the service tells its operator."""

    NO_WORKER = "no_worker", "no worker"
    DAILY_JOB = "daily_job", "daily job"
    TRAINING = "training", "training failed"
    PRICE_SOURCE = "price_source", "price source left alone"
    COVERAGE = "coverage", "coverage outside its band"
    DISK = "disk", "disk low"


class AlertQuerySet(models.QuerySet["Alert"]):
    """Reads of alerts."""

    def standing(self) -> "AlertQuerySet":
        """Those that are not over."""
        return self.filter(ended_at=None)

    def to_tell(self) -> "AlertQuerySet":
        """Those of which the operator does not know the beginning or the end, the oldest first."""
        return self.filter(Q(told_at=None) | Q(ended_at__isnull=False, end_told_at=None)).order_by("pk")


class Alert(models.Model):
    """One event, from the look that noticed it to the look that found it over."""

    event = models.CharField(max_length=20, choices=AlertEvent)
    subject = models.CharField(max_length=300, blank=True, help_text="Symbol, exchange, price source, or machine and folder.")
    text = models.TextField()
    since = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)
    end_told_at = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["event", "subject"], condition=Q(ended_at=None), name="alert_once_per_event"),
            models.CheckConstraint(condition=Q(event__in=AlertEvent.values), name="alert_event_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()}{f' ({self.subject})' if self.subject else ''}: {self.text}"
