"""Checks API keys, with a short memory in each process."""

import re
import time
from datetime import timedelta
from functools import lru_cache

from django.db.models.functions import Now
from django.utils import timezone

from forecasting.models import Key

CHECKED_SECONDS = 2  # a revoked key is refused after at most this time
NOTED_EVERY = timedelta(minutes=1)  # the last use
PATTERN = re.compile(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}", re.ASCII)


def valid_key(text: str) -> Key | None:
    """The key with this text; None if it is wrong, revoked, expired, or acts for an inactive account.

    One query at most, and a write once a minute. The result stands for CHECKED_SECONDS, and so does the account that comes with it.
    """
    return _valid_key(text, int(time.monotonic() / CHECKED_SECONDS)) if PATTERN.fullmatch(text) else None


@lru_cache(maxsize=1024)
def _valid_key(text: str, period: int) -> Key | None:
    """See `valid_key`. A new `period` makes a new entry."""
    prefix, _, _ = text.partition(".")
    key: Key | None = Key.objects.select_related("user").filter(prefix=prefix).first()
    if not (key and key.is_valid(text) and key.is_usable):
        return None
    if key.last_used_at is None or timezone.now() - key.last_used_at >= NOTED_EVERY:
        # The condition again, because other processes note the use as well.
        Key.objects.filter(pk=key.pk).exclude(last_used_at__gt=Now() - NOTED_EVERY).update(last_used_at=Now())
    return key
