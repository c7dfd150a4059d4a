"""Worker processes, by the heartbeats that they leave in the database."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import WorkerProcess
from forecasting.training.workers import CLUSTERS, absence


def with_absence(context: dict[str, Any] | None) -> dict[str, Any]:
    """The context of a list, below whose title it says since when no worker runs."""
    return {"subtitle": absence(*CLUSTERS) or None} | (context or {})


@admin.register(WorkerProcess)
class WorkerProcessAdmin(ReadOnlyAdmin):
    """Workers and their task clusters; those that are gone stay for a day."""

    list_display = fields = ("process", "state", "host", "pid", "started_at", "seen_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkerProcess]:
        """Adds whether each process is there."""
        return WorkerProcess.objects.with_presence(within=timedelta(seconds=settings.HANG_SECONDS))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; it says if no worker runs."""
        return super().changelist_view(request, with_absence(extra_context))

    @admin.display(description="process", ordering="cluster")
    def process(self, row: WorkerProcess) -> str:
        """The worker itself, or one of its clusters."""
        return f"cluster {row.cluster}" if row.cluster else "worker"

    @admin.display(description="state", ordering="seen_at")
    def state(self, row: WorkerProcess) -> SafeString:
        """Whether it was seen within HANG_SECONDS."""
        return display.badge("running", Tone.GOOD) if row.is_there else display.badge("gone", Tone.QUIET)
