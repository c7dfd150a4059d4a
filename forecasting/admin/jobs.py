"""Runs of the daily job, with their reports."""

from django.contrib import admin
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import JobRun
from forecasting.models.jobs import JobState

STATE_TONES = {JobState.RUNNING: Tone.BUSY, JobState.SUCCEEDED: Tone.GOOD, JobState.FAILED: Tone.BAD}


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    """One run per date."""

    list_display = ("date", "job", "state_badge", "started_at", "duration", "short_error")
    list_filter = ("state", "job", "date")
    fields = ("job", "date", "state_badge", "started_at", "finished_at", "duration", "pretty_report", "error")

    @admin.display(description="state", ordering="state")
    def state_badge(self, run: JobRun) -> SafeString:
        """The state of the run."""
        return display.badge(run.state, STATE_TONES[JobState(run.state)])

    @admin.display(description="duration")
    def duration(self, run: JobRun) -> str:
        """From start to end."""
        return display.span(run.finished_at - run.started_at if run.finished_at else None)

    @admin.display(description="report")
    def pretty_report(self, run: JobRun) -> SafeString:
        """The result of each step."""
        return display.pretty_json(run.report)

    @admin.display(description="error", ordering="error")
    def short_error(self, run: JobRun) -> str:
        """Why it failed."""
        return display.shortened(run.error)
