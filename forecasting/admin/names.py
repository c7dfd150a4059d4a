"""Names that somebody asked for and that are no symbols."""

from django.contrib import admin
from django.utils import timezone
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import RequestedName


@admin.register(RequestedName)
class RequestedNameAdmin(ReadOnlyAdmin):
    """Names that wait for the price source, or that it does not know."""

    list_display = ("ticker", "state", "source", "asked_at", "expires_at", "short_reason")
    list_filter = (("reason", admin.EmptyFieldListFilter), "source", "asked_at")
    search_fields = ("ticker",)
    fields = ("ticker", "state", "source", "asked_at", "expires_at", "reason")

    @admin.display(description="state")
    def state(self, name: RequestedName) -> SafeString:
        """Whether it waits, is no symbol, or has expired: it is then deleted when the next names come, or by the daily job."""
        if name.expires_at <= timezone.now():
            return display.badge("expired", Tone.QUIET)
        return display.badge("unknown", Tone.WARNING) if name.reason else display.badge("waiting", Tone.BUSY)

    @admin.display(description="reason", ordering="reason")
    def short_reason(self, name: RequestedName) -> str:
        """Why it is no symbol."""
        return display.shortened(name.reason)
