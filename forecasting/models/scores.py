"""Scores: what became of a forecast, appended each time the price source says something else."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from forecasting.models.forecasts import INFINITY, Forecast


class ScoreReason(models.TextChoices):
    """Why a score was appended."""

    FIRST = "first", "first"
    MOVED = "session_moved", "session moved"
    CORRECTED = "corrected", "corrected"


class Score(models.Model):
    """One score of one forecast, in the forecast's own prices. A trigger keeps it from changing, but for the end of `latest`."""

    forecast = models.ForeignKey(Forecast, on_delete=models.PROTECT, related_name="scores")
    actual_date = models.DateField(help_text="The session that it is scored against: a later one if its own did not take place.")
    actual_close = models.FloatField(help_text="In the prices of the forecast: a later split or dividend is taken out.")
    absolute_error = models.FloatField()
    naive_absolute_error = models.FloatField(help_text="Of the last close.")
    inside_interval = models.BooleanField()
    reason = models.CharField(max_length=16, choices=ScoreReason)
    scored_at = models.DateTimeField(db_default=Now())
    latest = models.BooleanField(default=True, help_text="Whether it counts; a later one takes its place.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["forecast"], condition=Q(latest=True), name="score_one_latest"),
            models.CheckConstraint(condition=Q(reason__in=ScoreReason.values), name="score_reason_known"),
            models.CheckConstraint(condition=Q(actual_close__gt=0, actual_close__lt=INFINITY), name="score_close_positive"),
            models.CheckConstraint(
                condition=Q(absolute_error__gte=0, absolute_error__lt=INFINITY)
                & Q(naive_absolute_error__gte=0, naive_absolute_error__lt=INFINITY),
                name="score_errors_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.forecast_id} {self.actual_date}"
