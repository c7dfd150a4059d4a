"""The price source as a whole: how fast it may be asked, and whether it is left alone. One row that all processes share."""

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class BreakerState(models.TextChoices):
    """Whether the price source is asked."""

    CLOSED = "closed", "asked"
    OPEN = "open", "left alone"
    HALF_OPEN = "half_open", "tried with one request"


class UpstreamQuerySet(models.QuerySet["Upstream"]):
    """Reads of the state, by the database's clock: machines may disagree about theirs."""

    def paused(self) -> "UpstreamQuerySet":
        """Where nothing is asked now: the pause has not run out, or the one request that may end it is under way."""
        return self.exclude(state=BreakerState.CLOSED).filter(open_until__gt=Now())


class Upstream(models.Model):
    """What every process needs to know before it asks a price source over the network."""

    source = models.CharField(max_length=20, unique=True, help_text="As PRICE_SOURCE names it.")
    state = models.CharField(max_length=10, choices=BreakerState, default=BreakerState.CLOSED)
    reason = models.TextField(blank=True, help_text="Why it was last left alone, or why the last request failed.")
    failures = models.PositiveIntegerField(default=0, help_text="Failed requests in a row.")
    opens = models.PositiveIntegerField(default=0, help_text="How often in a row it was left alone, without a success between.")
    opened_at = models.DateTimeField(null=True, blank=True, help_text="Since when it is left alone.")
    open_until = models.DateTimeField(null=True, blank=True, help_text="Nothing is asked before.")
    last_success_at = models.DateTimeField(null=True, blank=True, help_text="When it last answered.")
    next_request_at = models.DateTimeField(db_default=Now(), help_text="The pace allows no request before.")
    leases = ArrayField(models.DateTimeField(), default=list, blank=True, help_text="Requests under way: when each is given up.")

    objects = UpstreamQuerySet.as_manager()

    class Meta:
        verbose_name = "price source"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=BreakerState.values), name="upstream_state_known"),
            models.CheckConstraint(
                condition=Q(state=BreakerState.CLOSED, opened_at__isnull=True, open_until__isnull=True)
                | (~Q(state=BreakerState.CLOSED) & Q(opened_at__isnull=False, open_until__isnull=False)),
                name="upstream_open_has_an_end",
            ),
        ]

    def __str__(self) -> str:
        return self.source

    @property
    def pause(self) -> timedelta | None:
        """For how long in all it is left alone; None while it is asked."""
        return self.open_until - self.opened_at if self.open_until and self.opened_at else None
