"""Findings of the quality gate: prices that it repaired, left out, refused or noted."""

from django.contrib import admin
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import Finding
from forecasting.prices.findings import Verdict

VERDICT_TONES = {
    Verdict.REPAIRED: Tone.GOOD,
    Verdict.LEFT_OUT: Tone.WARNING,
    Verdict.REFUSED: Tone.BAD,
    Verdict.NOTED: Tone.QUIET,
}


def verdict_badge(finding: Finding) -> SafeString:
    """The verdict as a badge."""
    return display.badge(finding.get_verdict_display(), VERDICT_TONES[Verdict(finding.verdict)])


def number(finding: Finding) -> str:
    """The value with six significant digits."""
    return display.NOTHING if finding.value is None else f"{finding.value:,.6g}"


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    """Findings of the last check of each symbol's prices."""

    list_display = ("symbol_link", "verdict_shown", "rule", "date", "value_shown", "text")
    list_display_links = ("verdict_shown",)
    list_filter = ("verdict", "rule", "found_at")
    search_fields = ("symbol__ticker",)
    list_select_related = ("symbol",)
    fields = ("symbol_link", "verdict_shown", "rule", "date", "value_shown", "text", "found_at")

    @admin.display(description="symbol", ordering="symbol__ticker")
    def symbol_link(self, finding: Finding) -> SafeString | str:
        """The symbol."""
        return display.symbol_link(finding.symbol)

    @admin.display(description="verdict", ordering="verdict")
    def verdict_shown(self, finding: Finding) -> SafeString:
        """The verdict."""
        return verdict_badge(finding)

    @admin.display(description="value", ordering="value")
    def value_shown(self, finding: Finding) -> str:
        """A price, a volume, a share or a number of bars."""
        return number(finding)
