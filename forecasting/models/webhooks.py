"""Webhooks: addresses that are told of events, and what was sent to them.

Triggers of the database create the deliveries in the transaction of the event, so no event is lost, whichever code causes it.
"""

import base64
import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.core.validators import URLValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

SECRET_PREFIX = "whsec_"  # noqa: S105 - of the Standard Webhooks specification
KEPT = timedelta(days=30)  # a delivery


class WebhookEvent(models.TextChoices):
    """What a webhook can be told of."""

    TRAINING_ENDED = "training.ended", "a training has ended"
    VERSION_ACTIVATED = "version.activated", "a version serves"
    FORECAST_ISSUED = "forecast.issued", "a forecast was issued"
    FORECAST_SCORED = "forecast.scored", "a forecast was scored"


class DeliveryState(models.TextChoices):
    """The state of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


def new_secret() -> str:
    """A random key for signatures, in the form of the Standard Webhooks specification."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


class Webhook(models.Model):
    """An address and the events that it is told of."""

    url = models.URLField(max_length=500, validators=[URLValidator(["http", "https"])])
    events = ArrayField(models.CharField(max_length=20, choices=WebhookEvent))
    secret = models.CharField(max_length=80, default=new_secret, editable=False)
    active = models.BooleanField(default=True, help_text="Inactive webhooks are told of nothing.")
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="In a row; pauses between attempts grow.")
    created_by = models.CharField(max_length=150, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(events__contained_by=WebhookEvent.values) & ~Q(events=[]), name="webhook_events_known"
            )
        ]

    def __str__(self) -> str:
        """Without the rest of its address, which may be as good as a password: lists of deliveries and the log show this."""
        return f"webhook {self.pk}, {urlsplit(self.url).hostname}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Reads of deliveries, by the database's clock."""

    def due(self) -> "DeliveryQuerySet":
        """Waiting ones of active webhooks whose next attempt is due, the oldest first."""
        due = self.filter(state=DeliveryState.WAITING, not_before__lte=Now(), webhook__active=True)
        return due.order_by("not_before", "pk")

    def old(self) -> "DeliveryQuerySet":
        """Those that need not be kept any longer."""
        return self.filter(created_at__lt=Now() - KEPT)


class Delivery(models.Model):
    """One event for one webhook."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=20, choices=WebhookEvent)
    object_id = models.BigIntegerField(help_text="Primary key of the training, version or forecast.")
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.WAITING, db_default=DeliveryState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    not_before = models.DateTimeField(db_default=Now(), help_text="The earliest time of the next attempt.")
    status_code = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Of the last answer.")
    error = models.TextField(blank=True, db_default="", help_text="Why the last attempt failed.")
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        constraints = [models.CheckConstraint(condition=Q(state__in=DeliveryState.values), name="delivery_state_known")]
        indexes = [models.Index(F("not_before"), condition=Q(state=DeliveryState.WAITING), name="delivery_due")]

    def __str__(self) -> str:
        return f"{self.event} {self.object_id}"
