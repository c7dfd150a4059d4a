"""Delivers events to webhooks: signed as in the Standard Webhooks specification, repeated until the receiver accepts.

A delivery may arrive twice, after a crash between answer and record; `webhook-id` tells.
"""

import base64
import hashlib
import hmac
import json
import logging
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Case, F, When
from django.db.models.functions import Greatest, Now
from django.utils import timezone
from django_q.tasks import async_task
from rest_framework.utils.encoders import JSONEncoder

from forecasting.api.lists import ForecastViewSet, RecordViewSet, TrainingViewSet, VersionViewSet
from forecasting.background.outgoing import UndeliveredError, post
from forecasting.models import Delivery, Webhook
from forecasting.models.webhooks import SECRET_PREFIX, DeliveryState, WebhookEvent

PAUSES = [timedelta(seconds=each) for each in (10, 60, 300, 1800, 7200)]  # after the first failure in a row, and so on
GIVE_UP_AFTER = timedelta(days=2)  # from the event
RUN_SECONDS = 60  # a task claims no delivery after this; the next task continues
LEASE = timedelta(seconds=60)  # a delivery whose task died is due again after this
QUEUED = "webhooks-task-waits"  # cache key
GONE = 410  # the receiver wants no more

ROWS: dict[str, type[RecordViewSet[Any]]] = {  # what a message shows is a row of these lists
    WebhookEvent.TRAINING_ENDED: TrainingViewSet,
    WebhookEvent.VERSION_ACTIVATED: VersionViewSet,
    WebhookEvent.FORECAST_ISSUED: ForecastViewSet,
    WebhookEvent.FORECAST_SCORED: ForecastViewSet,
}

logger = logging.getLogger(__name__)


def wake_if_due() -> None:
    """Enqueues a task that delivers, if deliveries are due and no such task waits."""
    if Delivery.objects.due().exists() and cache.add(QUEUED, True, timeout=LEASE.total_seconds()):
        async_task("forecasting.background.tasks.deliver_webhooks")


def deliver_due() -> int:
    """Sends the deliveries that are due; returns how many."""
    cache.delete(QUEUED)
    ends, sent = time.monotonic() + RUN_SECONDS, 0
    while time.monotonic() < ends and (delivery := _claim()):
        _attempt(delivery)
        sent += 1
    return sent


def signature(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message: HMAC-SHA256 of id, time and body (Standard Webhooks, version 1)."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def signed(body: bytes, *, message_id: str, secret: str) -> dict[str, str]:
    """The headers of a message; without a signature if the secret is empty."""
    now = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "stockpred",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
    }
    proof = {"webhook-signature": signature(secret, message_id=message_id, timestamp=now, body=body)} if secret else {}
    return headers | proof


def _claim() -> Delivery | None:
    """The next due delivery, which nobody else sends meanwhile; its attempt counts."""
    with transaction.atomic():
        delivery = Delivery.objects.due().select_for_update(skip_locked=True, of=("self",)).select_related("webhook").first()
        if delivery:
            Delivery.objects.filter(pk=delivery.pk).update(attempts=F("attempts") + 1, not_before=Now() + LEASE)
            delivery.attempts += 1
    return delivery


def _attempt(delivery: Delivery) -> None:
    webhook, body = delivery.webhook, _body(delivery)
    if body is None:
        _end(delivery, DeliveryState.FAILED, error="Its row no longer exists.")
        return
    try:
        headers = signed(body, message_id=f"msg_{delivery.pk}", secret=webhook.secret)
        status = post(webhook.url, body, headers=headers, allow_private=settings.WEBHOOK_ALLOW_PRIVATE)
    except UndeliveredError as error:
        _failed(delivery, error=str(error))
        return
    if 200 <= status < 300:
        _end(delivery, DeliveryState.DELIVERED, status_code=status)
        Webhook.objects.filter(pk=webhook.pk).update(failures=0)
    else:
        _failed(delivery, error=f"answer {status}", status_code=status)


def _failed(delivery: Delivery, *, error: str, status_code: int | None = None) -> None:
    """Postpones all that waits for this webhook, so that a dead receiver does not delay the others; gives up on old events."""
    logger.warning("webhook %s: %s %s not delivered: %s", delivery.webhook_id, delivery.event, delivery.object_id, error)
    webhook = Webhook.objects.filter(pk=delivery.webhook_id)
    webhook.update(failures=F("failures") + 1, **({"active": False} if status_code == GONE else {}))
    if status_code == GONE or timezone.now() - delivery.created_at > GIVE_UP_AFTER:
        _end(delivery, DeliveryState.FAILED, error=error, status_code=status_code)
    else:
        Delivery.objects.filter(pk=delivery.pk).update(error=error, status_code=status_code)
    until = Now() + PAUSES[min(delivery.webhook.failures, len(PAUSES) - 1)]
    waiting = Delivery.objects.filter(webhook=delivery.webhook_id, state=DeliveryState.WAITING)
    waiting.update(not_before=Case(When(pk=delivery.pk, then=until), default=Greatest("not_before", until)))


def _end(delivery: Delivery, state: DeliveryState, *, error: str = "", status_code: int | None = None) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(state=state, error=error, status_code=status_code, ended_at=Now())


def _body(delivery: Delivery) -> bytes | None:
    """The event and its row, as in the API's lists; None if the row is gone."""
    listed = ROWS[delivery.event]
    if (row := listed.queryset.filter(pk=delivery.object_id).first()) is None:
        return None
    message = {"type": delivery.event, "timestamp": delivery.created_at, "data": listed.serializer_class(row).data}
    return json.dumps(message, cls=JSONEncoder, ensure_ascii=False).encode()
