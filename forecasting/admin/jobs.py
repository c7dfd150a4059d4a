"""Runs of the daily job, with their reports."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.admin.workers import with_absence
from forecasting.models import JobRun
from forecasting.models.jobs import JobState

STATE_TONES = {
    JobState.RUNNING: Tone.BUSY,
    JobState.SUCCEEDED: Tone.GOOD,
    JobState.INCOMPLETE: Tone.WARNING,
    JobState.FAILED: Tone.BAD,
}


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    """One run per date."""

    list_display = ("date", "state_badge", "synced", "scored", "forecast", "retrained", "duration", "short_error")
    list_filter = ("state", "job", "date")
    fields = ("job", "date", "state_badge", "started_at", "finished_at", "duration", "pretty_report", "error")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; it says if no worker runs the job."""
        return super().changelist_view(request, with_absence(extra_context))

    @admin.display(description="state", ordering="state")
    def state_badge(self, run: JobRun) -> SafeString:
        """The state of the run."""
        return display.badge(run.told_state, STATE_TONES[JobState(run.state)], title=run.error)

    @admin.display(description="synced", ordering="report__symbols")
    def synced(self, run: JobRun) -> str:
        """The symbols for which the price source had prices, of those that it has answered for."""
        return _counted(run, "symbols", less="not_synced")

    @admin.display(description="scored", ordering="report__scored")
    def scored(self, run: JobRun) -> str:
        """The forecasts that were scored."""
        return _counted(run, "scored")

    @admin.display(description="forecast", ordering="report__forecasts")
    def forecast(self, run: JobRun) -> str:
        """The symbols with a forecast from their newest bar."""
        return _counted(run, "forecasts")

    @admin.display(description="retrained", ordering="report__retrainings")
    def retrained(self, run: JobRun) -> str:
        """The trainings that were requested."""
        return _counted(run, "retrainings")

    @admin.display(description="duration")
    def duration(self, run: JobRun) -> str:
        """From the first start to the last end, with the pauses between them."""
        return display.span(run.duration)

    @admin.display(description="report")
    def pretty_report(self, run: JobRun) -> SafeString:
        """The result of each step."""
        return display.pretty_json(run.report)

    @admin.display(description="reason", ordering="error")
    def short_error(self, run: JobRun) -> str:
        """Why it failed or is incomplete."""
        return display.shortened(run.error)


def _counted(run: JobRun, name: str, *, less: str = "") -> str:
    """A number of the report; a dash if the run has not come so far."""
    return f"{run.report[name] - len(run.report.get(less, ())):,}" if name in run.report else display.NOTHING
