"""Names that somebody asked for and that are no symbols: the price source does not know them, or has not answered yet.

No other table refers to these rows, and no list or daily job contains them. The table is bounded, and its rows expire.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q

REMEMBERED_FOR = timedelta(days=1)  # without an answer, or after the source's answer that it has no such symbol


class RequestedNameQuerySet(models.QuerySet["RequestedName"]):
    """Reads of names, and the one write that keeps the table bounded."""

    def named(self, names: Iterable[str]) -> "RequestedNameQuerySet":
        """The rows of these names."""
        return self.filter(ticker__in=list(names))

    def remembered(self, *, now: datetime) -> "RequestedNameQuerySet":
        """The rows that have not expired and concern the configured price source."""
        return self.filter(expires_at__gt=now, source=settings.PRICE_SOURCE)

    def awaited(self, *, now: datetime) -> "RequestedNameQuerySet":
        """Names without an answer; the one not asked for the longest time first."""
        return self.remembered(now=now).filter(reason="").order_by("asked_at", "pk")

    def expired(self, *, now: datetime) -> "RequestedNameQuerySet":
        """Rows that have expired, and the oldest ones beyond REQUESTED_NAMES_LIMIT.

        Primary keys grow from row to row, so the newest one tells which rows are beyond the limit. Nothing is counted.
        """
        newest = self.model._default_manager.order_by("-pk").values("pk")[:1]
        beyond = Q(pk__lte=models.Subquery(newest) - settings.REQUESTED_NAMES_LIMIT)
        return self.filter(Q(expires_at__lte=now) | beyond)

    def remember(self, names: Sequence[str], *, now: datetime) -> list[str]:
        """Adds the names that are not remembered yet, without an answer; returns them. Expired rows are deleted."""
        known = {row.ticker for row in self.named(names).remembered(now=now)}
        if not (new := [name for name in names if name not in known]):
            return []
        self.named(new).delete()  # expired, or of another source
        row = {"source": settings.PRICE_SOURCE, "asked_at": now, "expires_at": now + REMEMBERED_FOR}
        self.bulk_create([RequestedName(ticker=name, **row) for name in new], ignore_conflicts=True)
        self.expired(now=now).delete()
        return new

    def note_unknown(self, reasons: Mapping[str, str], *, now: datetime) -> None:
        """Notes, by name, why the price source has no such symbol. Two queries if there are any."""
        rows = list(self.named(reasons)) if reasons else []
        for row in rows:
            row.reason, row.expires_at = reasons[row.ticker], now + REMEMBERED_FOR
        self.bulk_update(rows, ["reason", "expires_at"])


class RequestedName(models.Model):
    """One name. Without a `reason`, the price source has not said yet whether it knows the name."""

    ticker = models.CharField("name", max_length=24, unique=True)
    source = models.CharField(max_length=20, help_text="The PRICE_SOURCE that was asked.")
    reason = models.TextField(blank=True, help_text="Why it is no symbol; empty while the price source has not answered.")
    asked_at = models.DateTimeField(help_text="When the price source was last asked.")
    expires_at = models.DateTimeField(db_index=True)

    objects = RequestedNameQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.ticker
