"""Runs of the daily job."""

from datetime import timedelta

from django.db import models
from django.db.models import Q


class JobState(models.TextChoices):
    """The state of a run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    INCOMPLETE = "incomplete"  # everything was done, but the price source did not answer for every symbol
    FAILED = "failed"


class JobRun(models.Model):
    """One daily job of one date. A second start resumes an unfinished run, or does nothing after a finished one."""

    job = models.CharField(max_length=40)
    date = models.DateField()
    state = models.CharField(max_length=10, choices=JobState, default=JobState.RUNNING)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    report = models.JSONField(default=dict, help_text="The result of each step.")
    error = models.TextField(blank=True, help_text="Why it failed or is incomplete.")

    class Meta:
        default_permissions = ("view",)
        ordering = ["-date", "job"]
        constraints = [
            models.UniqueConstraint(fields=["job", "date"], name="job_one_run_per_date"),
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="job_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.date}"

    @property
    def told_state(self) -> str:
        """The state; of an incomplete run, how many symbols the price source has answered for: `incomplete 12/34`."""
        if self.state != JobState.INCOMPLETE:
            return self.state
        tried = self.report["symbols"]
        return f"{self.state} {tried}/{tried + self.report['untried']}"

    @property
    def duration(self) -> timedelta | None:
        """From the first start to the last end, with the pauses between them; None while it runs."""
        return self.finished_at - self.started_at if self.finished_at else None
