"""The price source's rate limit and circuit breaker: one row that all processes share."""

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class BreakerState(models.TextChoices):
    """State of the circuit breaker."""

    CLOSED = "closed", "available"
    OPEN = "open", "paused"
    HALF_OPEN = "half_open", "testing with one request"


class UpstreamQuerySet(models.QuerySet["Upstream"]):
    """Reads of the state, by the database's clock, because clocks of machines differ."""

    def paused(self) -> "UpstreamQuerySet":
        """Sources that accept no request now: the pause is not over, or its test request is under way."""
        return self.exclude(state=BreakerState.CLOSED).filter(open_until__gt=Now())

    def with_end_of_pause(self) -> "UpstreamQuerySet":
        """Adds `pause_is_over`: whether a pause has ended, and the source may be asked."""
        return self.annotate(pause_is_over=Q(open_until__lte=Now()))  # type: ignore[no-redef]  # the plugin


class Upstream(models.Model):
    """Shared state that every process checks before it asks a remote price source."""

    source = models.CharField(max_length=20, unique=True, help_text="The value of PRICE_SOURCE.")
    state = models.CharField(max_length=10, choices=BreakerState, default=BreakerState.CLOSED)
    reason = models.TextField(blank=True, help_text="Why requests were last paused, or why the last request failed.")
    failures = models.PositiveIntegerField(default=0, help_text="Consecutive failed requests.")
    opens = models.PositiveIntegerField(default=0, help_text="Consecutive pauses without a successful request between them.")
    opened_at = models.DateTimeField(null=True, blank=True, help_text="Start of the pause.")
    open_until = models.DateTimeField(null=True, blank=True, help_text="End of the pause.")
    last_success_at = models.DateTimeField(null=True, blank=True, help_text="Time of the last successful request.")
    requests = models.BigIntegerField(default=0, db_default=0, help_text="Sent so far.")
    failed_requests = models.BigIntegerField(default=0, db_default=0, help_text="Refused by the source or without an answer.")
    next_request_at = models.DateTimeField(db_default=Now(), help_text="The rate limit allows no request before this time.")
    leases = ArrayField(models.DateTimeField(), default=list, blank=True, help_text="Expiry time of each request under way.")

    pause_is_over: bool | None = None  # set by `with_end_of_pause`
    objects = UpstreamQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
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
        """Total length of the pause; None without a pause."""
        return self.open_until - self.opened_at if self.open_until and self.opened_at else None
