"""Alerts: what is wrong, and what was."""

from django.contrib import admin
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import Alert


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """The newest first; those that are over stay for 90 days."""

    list_display = ("since", "state", "event", "subject", "short_text", "ended_at")
    list_filter = ("event", "since")
    fields = ("event", "subject", "state", "text", "since", "told_at", "ended_at", "end_told_at")

    @admin.display(description="state", ordering="ended_at")
    def state(self, alert: Alert) -> SafeString:
        """Whether it is over."""
        return display.badge("over", Tone.QUIET) if alert.ended_at else display.badge("wrong", Tone.BAD)

    @admin.display(description="text")
    def short_text(self, alert: Alert) -> str:
        """The beginning of the text."""
        return display.shortened(alert.text)
