"""The price source's rate limit and circuit breaker, and the restatements of its bars."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import Restatement, Upstream
from forecasting.models.restatements import RestatementReason
from forecasting.models.upstream import BreakerState
from forecasting.prices.catalogue import SOURCES

STATE_TONES = {BreakerState.CLOSED: Tone.GOOD, BreakerState.OPEN: Tone.BAD, BreakerState.HALF_OPEN: Tone.BUSY}
REASON_TONES = {RestatementReason.CORRECTION: Tone.WARNING}


def ratio(restatement: Restatement) -> str:
    """New price divided by old price."""
    return display.NOTHING if restatement.ratio is None else f"{restatement.ratio:.6g}"


@admin.register(Upstream)
class UpstreamAdmin(ReadOnlyAdmin):
    """State that all processes share. Local sources (files, simulation) have no row."""

    list_display = ("source", "is_configured", "state_badge", "open_until", "last_success_at", "short_reason")
    fieldsets = (
        (None, {"fields": ("source", "state_badge", "reason", "last_success_at")}),
        ("Pause", {"fields": ("opened_at", "open_until", "opens", "failures")}),
        ("Rate limit", {"fields": ("pace", "under_way", "next_request_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upstream]:
        """Adds whether a pause is over, by the database's clock."""
        return Upstream.objects.with_end_of_pause()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; it names the configured source, which may have no row."""
        name = settings.PRICE_SOURCE
        told = f"Configured: {name}" + ("" if SOURCES[name].remote else ", which needs no network and has no rate limit")
        return super().changelist_view(request, {"subtitle": told} | (extra_context or {}))

    @admin.display(description="configured", boolean=True)
    def is_configured(self, upstream: Upstream) -> bool:
        """Whether the service asks it."""
        return upstream.source == settings.PRICE_SOURCE

    @admin.display(description="state", ordering="state")
    def state_badge(self, upstream: Upstream) -> SafeString:
        """State of the circuit breaker, with its reason as tooltip. It stays open after a pause, until somebody asks."""
        state = BreakerState(upstream.state)
        if upstream.pause_is_over and upstream.open_until:
            since = date_format(timezone.localtime(upstream.open_until), "DATETIME_FORMAT")
            return display.badge(f"may be asked again since {since}", Tone.BUSY, title=upstream.reason)
        return display.badge(state.label, STATE_TONES[state], title=upstream.reason)

    @admin.display(description="reason", ordering="reason")
    def short_reason(self, upstream: Upstream) -> str:
        """Why requests are paused, or why the last request failed."""
        return display.shortened(upstream.reason)

    @admin.display(description="limit")
    def pace(self, upstream: Upstream) -> str:
        """The rate that the settings allow."""
        allowed = display.count(settings.UPSTREAM_REQUESTS_PER_MINUTE, "request")
        return f"{allowed} a minute, {settings.UPSTREAM_IN_FLIGHT} at the same time"

    @admin.display(description="requests under way")
    def under_way(self, upstream: Upstream) -> str:
        """Number of requests without an answer yet."""
        return str(sum(lease > timezone.now() for lease in upstream.leases))


@admin.register(Restatement)
class RestatementAdmin(ReadOnlyAdmin):
    """Replacements of stored bars after the source had changed them."""

    list_display = ("symbol_link", "date", "reason_badge", "price_ratio", "bars_changed", "restated_at")
    list_display_links = ("date",)
    list_filter = ("reason", "restated_at")
    search_fields = ("symbol__ticker",)
    list_select_related = ("symbol",)
    fields = ("symbol_link", "date", "reason_badge", "price_ratio", "bars_changed", "restated_at")

    @admin.display(description="symbol", ordering="symbol__ticker")
    def symbol_link(self, restatement: Restatement) -> SafeString | str:
        """The symbol."""
        return display.symbol_link(restatement.symbol)

    @admin.display(description="reason", ordering="reason")
    def reason_badge(self, restatement: Restatement) -> SafeString:
        """The reason for the change."""
        reason = RestatementReason(restatement.reason)
        return display.badge(reason.label.lower(), REASON_TONES.get(reason, Tone.QUIET))

    @admin.display(description="new / old price", ordering="ratio")
    def price_ratio(self, restatement: Restatement) -> str:
        """The factor that multiplied the old prices."""
        return ratio(restatement)
