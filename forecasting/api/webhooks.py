"""Webhooks in the API: made, listed and removed by staff."""

from django.core.validators import URLValidator
from rest_framework import serializers

from forecasting.models import Webhook
from forecasting.models.webhooks import WebhookEvent


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """An address that is told of events."""

    url = serializers.URLField(
        max_length=500,
        validators=[URLValidator(["http", "https"])],
        help_text="http or https, in the internet.",
    )
    events = serializers.ListField(
        child=serializers.ChoiceField(WebhookEvent.choices), allow_empty=False, max_length=len(WebhookEvent)
    )

    class Meta:
        model = Webhook
        fields: tuple[str, ...] = ("id", "url", "events", "active", "created_by", "created_at")
        read_only_fields: tuple[str, ...] = ("id", "active", "created_by", "created_at")


class NewWebhookSerializer(WebhookSerializer):
    """A new webhook with its secret, which is shown this once."""

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")
        read_only_fields = (*WebhookSerializer.Meta.read_only_fields, "secret")
