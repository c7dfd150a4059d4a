"""Trainings: state, progress and cancelling."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.admin.workers import with_absence
from forecasting.callers.caller import caller_of
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import MAX_ATTEMPTS, TrainingState
from forecasting.training import queue as training_queue
from forecasting.training.positions import positions_of

STATE_TONES = {TrainingState.RUNNING: Tone.BUSY, TrainingState.SUCCEEDED: Tone.GOOD, TrainingState.FAILED: Tone.BAD}


@admin.register(Training)
class TrainingAdmin(ReadOnlyAdmin):
    """Every training ever requested."""

    list_display = ("subject", "state_badge", "why", "how_far", "attempts", "created_at", "duration", "short_error")
    list_filter = ("state", "reason", "created_at")
    search_fields = ("symbol__ticker",)
    list_select_related = ("symbol",)
    actions = ("cancel",)
    fieldsets = (
        (None, {"fields": ("symbol_link", "state_badge", "reason", "figures", "priority", "requested_by", "published")}),
        (
            "Progress",
            {"fields": ("how_far", "position", "attempts_of", "created_at", "not_before", "started_at", "finished_at", "duration")},
        ),
        ("Error", {"fields": ("error",)}),
        ("Claim", {"fields": ("claimed_by", "fence", "lease_expires_at"), "classes": ("collapse",)}),
    )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; it says if no worker trains."""
        return super().changelist_view(request, with_absence(extra_context))

    @admin.display(description="symbol", ordering="symbol__ticker")
    def subject(self, training: Training) -> str:
        """The symbol, or `base`."""
        return training.subject

    @admin.display(description="symbol")
    def symbol_link(self, training: Training) -> str:
        """The symbol, or `base`."""
        return display.link(Symbol, training.symbol.pk, training.symbol.ticker) if training.symbol else training.subject

    @admin.display(description="state", ordering="state")
    def state_badge(self, training: Training) -> SafeString:
        """The state of the training."""
        return display.badge(training.state, STATE_TONES.get(TrainingState(training.state), Tone.QUIET))

    @admin.display(description="reason", ordering="reason")
    def why(self, training: Training) -> str:
        """The reason, and what performance was lost."""
        reason = training.get_reason_display()
        return display.with_note(reason, training.figures) if training.figures else reason

    @admin.display(description="progress", ordering="progress")
    def how_far(self, training: Training) -> str:
        """Percent done, stage and epoch."""
        if training.state == TrainingState.QUEUED:
            return display.NOTHING
        epoch = f", epoch {training.epoch}" if training.epoch is not None else ""
        return f"{display.percent(100 * training.progress, places=0)} {training.stage}{epoch}"

    @admin.display(description="position")
    def position(self, training: Training) -> str:
        """The position in the queue while it waits, and the expected time until it ends."""
        if not training.is_active:
            return display.NOTHING
        position = positions_of([training])[training.pk]
        if position.absence:
            return display.badge(position.absence, Tone.BAD)
        wait = "" if position.expected_wait_s is None else f"about {display.span(timedelta(seconds=position.expected_wait_s))}"
        return ", ".join(filter(None, [f"position {position.number}" if position.number else "", wait])) or display.NOTHING

    @admin.display(description="attempts")
    def attempts_of(self, training: Training) -> str:
        """Attempts made and allowed."""
        return f"{training.attempts} of {MAX_ATTEMPTS}"

    @admin.display(description="duration")
    def duration(self, training: Training) -> str:
        """Time from the first start to the end, or to now while it runs."""
        return display.span(training.duration or _running_for(training))

    @admin.display(description="version")
    def published(self, training: Training) -> str:
        """The version that it published."""
        version = ModelVersion.objects.filter(training=training).select_related("symbol").first()
        return display.link(ModelVersion, version.pk, str(version)) if version else display.NOTHING

    @admin.display(description="error", ordering="error")
    def short_error(self, training: Training) -> str:
        """Why it failed."""
        return display.shortened(training.error)

    @admin.action(description="Cancel selected trainings", permissions=["act"])
    def cancel(self, request: HttpRequest, trainings: QuerySet[Training]) -> None:
        """Cancels queued and running trainings; ended ones do not change."""
        chosen = list(trainings)
        by = str(caller_of(request.user))
        cancelled = [training for training in chosen if training_queue.cancel(training, by=by)]
        for training in cancelled:
            self.log_change(request, training, "Cancelled.")
        if cancelled:
            self.message_user(request, f"{display.count(len(cancelled), 'training')} cancelled.", messages.SUCCESS)
        if ended := len(chosen) - len(cancelled):
            self.message_user(request, f"{display.count(ended, 'training')} had already ended.", messages.WARNING)


def _running_for(training: Training) -> timedelta | None:
    if training.state != TrainingState.RUNNING or training.started_at is None:
        return None
    return timezone.now() - training.started_at
