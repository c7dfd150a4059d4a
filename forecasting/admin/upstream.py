"""The price source: whether it is asked, since when not and why; and the bars that it restated."""

from django.conf import settings
from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import Restatement, Symbol, Upstream
from forecasting.models.restatements import RestatementReason
from forecasting.models.upstream import BreakerState

STATE_TONES = {BreakerState.CLOSED: Tone.GOOD, BreakerState.OPEN: Tone.BAD, BreakerState.HALF_OPEN: Tone.BUSY}
REASON_TONES = {RestatementReason.CORRECTION: Tone.WARNING}


def ratio(restatement: Restatement) -> str:
    """New price over old."""
    return display.NOTHING if restatement.ratio is None else f"{restatement.ratio:.6g}"


@admin.register(Upstream)
class UpstreamAdmin(ReadOnlyAdmin):
    """The state that all processes share; a source of files or of simulated prices has none."""

    list_display = ("source", "state_badge", "open_until", "last_success_at", "short_reason")
    fieldsets = (
        (None, {"fields": ("source", "state_badge", "reason", "last_success_at")}),
        ("Left alone", {"fields": ("opened_at", "open_until", "opens", "failures")}),
        ("Pace", {"fields": ("pace", "under_way", "next_request_at")}),
    )

    @admin.display(description="state", ordering="state")
    def state_badge(self, upstream: Upstream) -> SafeString:
        """Whether it is asked, the reason on hover."""
        state = BreakerState(upstream.state)
        return display.badge(state.label, STATE_TONES[state], title=upstream.reason)

    @admin.display(description="reason", ordering="reason")
    def short_reason(self, upstream: Upstream) -> str:
        """Why it is left alone, or what the last request failed at."""
        return display.shortened(upstream.reason)

    @admin.display(description="pace")
    def pace(self, upstream: Upstream) -> str:
        """What the settings allow."""
        allowed = display.count(settings.UPSTREAM_REQUESTS_PER_MINUTE, "request")
        return f"{allowed} a minute, {settings.UPSTREAM_IN_FLIGHT} at the same time"

    @admin.display(description="requests under way")
    def under_way(self, upstream: Upstream) -> str:
        """How many processes wait for an answer now."""
        return str(sum(lease > timezone.now() for lease in upstream.leases))


@admin.register(Restatement)
class RestatementAdmin(ReadOnlyAdmin):
    """Every time that stored bars were replaced, because the source had changed them."""

    list_display = ("symbol", "date", "reason_badge", "price_ratio", "bars_changed", "restated_at")
    list_filter = ("reason", "restated_at")
    search_fields = ("symbol__ticker",)
    list_select_related = ("symbol",)
    fields = ("symbol_link", "date", "reason_badge", "price_ratio", "bars_changed", "restated_at")

    @admin.display(description="symbol")
    def symbol_link(self, restatement: Restatement) -> SafeString:
        """The symbol."""
        return display.link(Symbol, restatement.symbol.pk, restatement.symbol.ticker)

    @admin.display(description="reason", ordering="reason")
    def reason_badge(self, restatement: Restatement) -> SafeString:
        """What changed the bars."""
        reason = RestatementReason(restatement.reason)
        return display.badge(reason.label.lower(), REASON_TONES.get(reason, Tone.QUIET))

    @admin.display(description="new / old price", ordering="ratio")
    def price_ratio(self, restatement: Restatement) -> str:
        """By what the old prices were multiplied."""
        return ratio(restatement)
