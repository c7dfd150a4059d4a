"""Webhooks and their deliveries."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.export import Exported
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import Delivery, Webhook
from forecasting.models.webhooks import DeliveryState, WebhookEvent

STATE_TONES = {DeliveryState.WAITING: Tone.BUSY, DeliveryState.DELIVERED: Tone.GOOD, DeliveryState.FAILED: Tone.BAD}


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]  # cannot be subscripted at run time
    """The events as checkboxes."""

    url = forms.URLField(max_length=500, assume_scheme="https")
    events = forms.MultipleChoiceField(choices=WebhookEvent.choices, widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = Webhook
        fields = ("url", "events", "active")


@admin.register(Webhook)
class WebhookAdmin(Exported):
    """Addresses that are told of events. Unlike other tables, staff add and change them here."""

    class Media:
        css = {"all": ("forecasting/admin.css",)}

    form = WebhookForm
    list_display = ("url", "told_of", "active", "failures", "created_by", "created_at")
    readonly_fields = ("secret", "failures", "created_by", "created_at")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new webhook has neither a secret nor a history yet."""
        return super().get_fields(request, obj) if obj else WebhookForm.Meta.fields

    @admin.display(description="events")
    def told_of(self, webhook: Webhook) -> str:
        """Its events."""
        return ", ".join(webhook.events)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Notes who made it."""
        if not change:
            obj.created_by = f"account {request.user.get_username()}"
        super().save_model(request, obj, form, change)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """What was sent, to whom, and how it ended."""

    deleted_with = "forecasting_webhook"
    list_display = ("created_at", "event", "object_id", "webhook", "state_badge", "attempts", "status_code", "short_error")
    list_filter = ("state", "event", "created_at")
    list_select_related = ("webhook",)
    fields = (
        "webhook", "event", "object_id", "state_badge", "attempts", "status_code", "error", "created_at", "not_before", "ended_at",
    )  # fmt: skip

    @admin.display(description="state", ordering="state")
    def state_badge(self, delivery: Delivery) -> SafeString:
        """The state."""
        return display.badge(delivery.state, STATE_TONES[DeliveryState(delivery.state)])

    @admin.display(description="error", ordering="error")
    def short_error(self, delivery: Delivery) -> str:
        """Why the last attempt failed."""
        return display.shortened(delivery.error)
