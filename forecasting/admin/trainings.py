"""Trainings: state, progress, cancelling, and trying again."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from forecasting.admin import display, retraining
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.admin.workers import with_absence
from forecasting.callers.caller import caller_of
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import MAX_ATTEMPTS, TrainingReason, TrainingState
from forecasting.training import queue as training_queue
from forecasting.training import requests as training_requests
from forecasting.training.positions import positions_of

STATE_TONES = {TrainingState.RUNNING: Tone.BUSY, TrainingState.SUCCEEDED: Tone.GOOD, TrainingState.FAILED: Tone.BAD}

UNSUCCESSFUL = (TrainingState.FAILED, TrainingState.CANCELLED)
MAY_RETRAIN = "forecasting.change_symbol"


@admin.register(Training)
class TrainingAdmin(ReadOnlyAdmin):
    """Every training ever requested."""

    list_display = ("symbol_link", "state_badge", "why", "short_error", "how_far", "attempts", "created_at", "duration")
    list_display_links = ("state_badge",)
    list_filter = ("state", "reason", "created_at")
    search_fields = ("symbol__ticker",)
    list_select_related = ("symbol",)
    actions = ("cancel",)
    fieldsets = (
        (
            None,
            {"fields": ("symbol_link", "state_badge", "reason", "figures", "priority", "requested_by", "request_id", "published")},
        ),
        (
            "Progress",
            {"fields": ("how_far", "position", "attempts_of", "created_at", "not_before", "started_at", "finished_at", "duration")},
        ),
        ("Error", {"fields": ("error",)}),
        ("Claim", {"fields": ("claimed_by", "fence", "lease_expires_at"), "classes": ("collapse",)}),
    )

    def get_urls(self) -> list[URLPattern]:
        """The standard pages, and the target of the buttons."""
        again = self.admin_site.admin_view(require_POST(self.again))
        return [path("<int:pk>/again/", again, name="forecasting_training_again"), *super().get_urls()]

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """The columns; beside the state, buttons for users who may press them."""
        symbol, state, *others = self.list_display
        return (symbol, state, *(("again_button",) if request.user.has_perm(MAY_RETRAIN) else ()), *others)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; it says if no worker trains. A list of single trainings is loaded again as long as one waits or runs."""
        watched = {"watched": _any_active(request.GET.get("id__in", ""))}
        return super().changelist_view(request, with_absence(watched | (extra_context or {})))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The details, with the button for users who may retrain."""
        context = {"may_retrain": request.user.has_perm(MAY_RETRAIN), "unsuccessful": UNSUCCESSFUL}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def again(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Requests another training of what this one was to train, and shows it."""
        if not request.user.has_perm(MAY_RETRAIN):
            raise PermissionDenied
        training = get_object_or_404(Training.objects.select_related("symbol"), pk=pk)
        if training.symbol is None:
            trainings = [training_requests.request_base(reason=TrainingReason.REQUESTED)]
            self.message_user(request, "1 training started.", messages.SUCCESS)
        else:
            trainings = retraining.request_trainings(self, request, Symbol.objects.filter(pk=training.symbol.pk))
        if trainings:
            self.log_change(request, training, "Tried again.")
        return HttpResponseRedirect(reverse("admin:forecasting_training_change", args=[(trainings or [training])[0].pk]))

    @admin.display(description="symbol", ordering="symbol__ticker")
    def symbol_link(self, training: Training) -> SafeString | str:
        """The symbol, or `base`."""
        return display.symbol_link(training.symbol)

    @admin.display(description="state", ordering="state")
    def state_badge(self, training: Training) -> SafeString:
        """The state of the training."""
        return display.badge(training.state, STATE_TONES.get(TrainingState(training.state), Tone.QUIET))

    @admin.display(description="reason", ordering="reason")
    def why(self, training: Training) -> str:
        """The reason, and what performance was lost."""
        reason = training.get_reason_display()
        return display.with_note(reason, display.shortened(training.figures)) if training.figures else reason

    @admin.display(description="progress", ordering="progress")
    def how_far(self, training: Training) -> str:
        """Percent done, stage and epoch."""
        if training.state == TrainingState.QUEUED:
            return display.NOTHING
        epoch = f", epoch {training.epoch}" if training.epoch is not None else ""
        return f"{display.percent(100 * training.progress, places=0)} {training.stage}{epoch}"

    @admin.display(description="queue")
    def position(self, training: Training) -> str:
        """The position in the queue while it waits, and the expected time until it ends."""
        if not training.is_active:
            return display.NOTHING
        position = positions_of([training])[training.pk]
        if position.absence:
            return display.badge(position.absence, Tone.BAD)
        wait = "" if position.expected_wait_s is None else f"ends {display.soon(timedelta(seconds=position.expected_wait_s))}"
        return ", ".join(filter(None, [f"place {position.number}" if position.number else "", wait])) or display.NOTHING

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

    @admin.display(description="")
    def again_button(self, training: Training) -> SafeString | str:
        """A button that requests another training; the list's form sends it."""
        if training.state not in UNSUCCESSFUL:
            return ""
        address = reverse("admin:forecasting_training_again", args=[training.pk])
        return format_html('<button type="submit" class="button" formaction="{}">Try again</button>', address)

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


def _any_active(keys: str) -> bool:
    wanted = [key for key in keys.split(",") if key.isdecimal()]
    return bool(wanted) and Training.objects.active().filter(pk__in=wanted).exists()


def _running_for(training: Training) -> timedelta | None:
    if training.state != TrainingState.RUNNING or training.started_at is None:
        return None
    return timezone.now() - training.started_at
