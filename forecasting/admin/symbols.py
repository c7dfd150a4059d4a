"""Symbols: overview, retraining, and the page that adds some."""

from datetime import date, datetime
from typing import Any, Protocol

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from forecasting.admin import adding, display, records, retraining, upstream
from forecasting.admin.display import Tone
from forecasting.admin.symbol_filters import PinnedFilter, RecordFilter, StaleFilter, TrainingFilter
from forecasting.admin.symbol_record import SymbolRecord
from forecasting.admin.symbol_tools import SymbolTools
from forecasting.admin.version_comparison import comparison
from forecasting.bokeh import shows_chart
from forecasting.console.home import may_view
from forecasting.models import Finding, Forecast, ModelVersion, PriceBar, Quote, Restatement, Score, Symbol, Training

SHOWN_BARS = 10
SHOWN_RESTATEMENTS = 10
SHOWN_FINDINGS = 10
NEEDED = {"Trainings": "forecasting.{}_training", "Log": "admin.{}_logentry"}  # permissions for parts of a symbol's page


class SymbolWithOverview(Protocol):
    """A symbol as `SymbolAdmin.get_queryset` reads it."""

    currency: str
    last_close: float | None
    last_date: date | None
    version_id: int | None
    version_number: int
    trained_at: datetime
    forecast_id: int | None
    forecast_price: float
    forecast_change: float
    forecast_target: date
    paused_at: datetime | None
    pinned_version_id: int | None


@admin.register(Symbol)
class SymbolAdmin(SymbolRecord, SymbolTools):
    """The requested symbols."""

    list_display = ("ticker", "market", "last_bar", "active_version", "newest_forecast", "coverage", "pinball_ratio", "upstream")
    list_filter = (
        StaleFilter, RecordFilter, TrainingFilter, PinnedFilter, "upstream_state", "followed",
        ("removed_at", admin.EmptyFieldListFilter), "exchange",
    )  # fmt: skip
    search_fields = ("ticker",)
    actions = ("retrain", "pause", "resume")
    fieldsets = (
        (None, {"fields": ("ticker", "market", "currency", "followed", "created_at", "removed_at", "related_rows")}),
        ("Model", {"fields": ("active_version", "pinned", "paused", "newest_forecast", "knows")}),
        ("Track record", {"fields": ("live", "by_basis")}),
        ("Trainings", {"fields": ("newest_trainings",)}),
        ("Prices", {"fields": (
            "upstream", "upstream_reason", "upstream_checked_at", "unknown_until", "synced_at", "price_now", "recent_bars",
        )}),
        ("Quality of the prices", {"fields": ("quality",)}),
        ("Restatements", {"fields": ("restatements",)}),
        ("Log", {"fields": ("actions_log",)}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Symbol]:
        """One query for any number of symbols."""
        return Symbol.objects.all().with_last_bar().with_active_version().with_newest_forecast().with_live_record()

    @method_decorator(shows_chart)
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The symbol, with its chart, and the comparison of two versions."""
        seen = self.has_view_permission(request) and may_view(request.user, "forecasting.{}_modelversion")
        symbol = self.get_object(request, object_id) if seen else None
        shown = {"comparison": comparison(symbol, request.GET)} if isinstance(symbol, Symbol) else {}
        return super().change_view(request, object_id, form_url, (extra_context or {}) | shown)

    def get_fieldsets(self, request: HttpRequest, obj: Symbol | None = None) -> Any:
        """Without trainings and log for users who may not see their tables."""
        parts = super().get_fieldsets(request, obj)
        return [part for part in parts if part[0] not in NEEDED or may_view(request.user, NEEDED[str(part[0])])]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Users who may retrain symbols may ask for new ones."""
        return self.has_act_permission(request)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page that asks the price source for new symbols."""
        return adding.add_symbols(self, request)

    @admin.display(description="exchange", ordering="exchange")
    def market(self, symbol: Symbol) -> str:
        """The exchange and its country, or the trading days learned for an unknown market."""
        return display.market(symbol.exchange)

    @admin.display(description="last close", ordering="last_date")
    def last_bar(self, symbol: SymbolWithOverview) -> str:
        """The newest bar's close and date."""
        close = display.price(symbol.last_close, currency=symbol.currency)
        return display.with_note(close, display.day(symbol.last_date)) if symbol.last_date else display.NOTHING

    @admin.display(description="active version", ordering="trained_at")
    def active_version(self, symbol: SymbolWithOverview) -> str:
        """The version that serves, its age, and whether people keep it from being replaced or retrained."""
        paused = [display.badge("paused", Tone.WARNING)] if symbol.paused_at else []
        if not symbol.version_id:
            return display.joined(paused)
        pinned = [display.badge("pinned", Tone.BUSY)] if symbol.pinned_version_id == symbol.version_id else []
        version = display.link(ModelVersion, symbol.version_id, f"v{symbol.version_number}")
        return display.with_note(display.joined([version, *pinned, *paused]), display.age(symbol.trained_at))

    @admin.display(description="pinned version")
    def pinned(self, symbol: Symbol) -> str:
        """The version that stays active although newer ones are trained."""
        version = symbol.pinned_version
        return display.link(ModelVersion, version.pk, f"v{version.number}") if version else display.NOTHING

    @admin.display(description="automatic training")
    def paused(self, symbol: Symbol) -> str:
        """Whether the daily job requests retrainings; if not, since when and by whom."""
        if symbol.paused_at is None:
            return "on"
        since = date_format(timezone.localtime(symbol.paused_at), "DATETIME_FORMAT")
        return display.joined([display.badge("paused", Tone.WARNING), format_html("by {} on {}", symbol.paused_by, since)])

    @admin.display(description="newest forecast", ordering="forecast_change")
    def newest_forecast(self, symbol: SymbolWithOverview) -> str:
        """The forecast price, its change from the last close, and the target session."""
        if not symbol.forecast_id:
            return display.NOTHING
        change = display.percent(symbol.forecast_change, places=2, signed=True)
        text = f"{display.price(symbol.forecast_price, currency=symbol.currency)} ({change})"
        return display.with_note(display.link(Forecast, symbol.forecast_id, text), display.day(symbol.forecast_target))

    @admin.display(description="live coverage", ordering="live__coverage")
    def coverage(self, symbol: Symbol) -> str:
        """Of all forecasts of the next close served for the symbol, by any version."""
        return records.coverage(symbol.live)

    @admin.display(description="live loss", ordering="live__pinball_ratio")
    def pinball_ratio(self, symbol: Symbol) -> str:
        """Their quantile loss relative to the reference's, and its uncertainty (99 %)."""
        return records.pinball_ratio(symbol.live)

    @admin.display(description="live record")
    def live(self, symbol: Symbol) -> str:
        """The track record of all forecasts served for the symbol, by any version."""
        record = Score.objects.of([symbol]).track_record().first()
        return display.live_record(record, currency=symbol.currency) if record else display.NOTHING

    @admin.display(description="upstream", ordering="upstream_state")
    def upstream(self, symbol: Symbol) -> SafeString:
        """The price source's last answer, and how many sessions of prices are missing."""
        return records.upstream(symbol, now=timezone.now())

    @admin.display(description="price now")
    def price_now(self, symbol: Symbol) -> str:
        """The last quote, its time, and why a newer one was refused, if so."""
        quote = Quote.objects.filter(symbol=symbol).first()
        if quote is None or quote.time is None:
            return display.NOTHING
        when = date_format(timezone.localtime(quote.time), "DATETIME_FORMAT")
        price = display.with_note(display.price(quote.price, currency=symbol.currency), when)
        return display.joined([price, display.sentence(quote.problem)]) if quote.problem else price

    @admin.display(description="see also")
    def related_rows(self, symbol: Symbol) -> str:
        """Links to the symbol's versions, forecasts and trainings."""
        return display.joined(
            display.link_to_list(model, str(model._meta.verbose_name_plural), symbol__id__exact=symbol.pk)
            for model in (ModelVersion, Forecast, Training)
        )

    @admin.display(description="newest bars")
    def recent_bars(self, symbol: Symbol) -> str:
        """The last sessions, the newest first."""
        bars = PriceBar.objects.of(symbol).reverse()[:SHOWN_BARS]
        rows = [
            (
                display.day(bar.date),
                *(display.price(value) for value in (bar.open, bar.high, bar.low, bar.close)),
                f"{bar.volume:,.0f}",
            )
            for bar in bars
        ]
        return display.table(("session", "open", "high", "low", "close", "volume"), rows) if rows else display.NOTHING

    @admin.display(description="findings")
    def quality(self, symbol: Symbol) -> str:
        """Findings of the quality gate, the worst first, and a link to all of them."""
        rows = [
            (
                finding.get_verdict_display(),
                finding.get_rule_display(),
                display.day(finding.date) if finding.date else display.NOTHING,
                display.sentence(finding.text),
            )
            for finding in Finding.objects.of(symbol).worst_first()[:SHOWN_FINDINGS]
        ]
        if not rows:
            return "none"
        every = display.link_to_list(Finding, "all findings", symbol__id__exact=symbol.pk)
        return display.table(("verdict", "rule", "session", display.sentence("found")), rows) + every

    @admin.display(description="restated bars")
    def restatements(self, symbol: Symbol) -> str:
        """The latest changes of stored bars, the newest first, and a link to all of them."""
        rows = [
            (display.day(row.date), row.get_reason_display(), upstream.ratio(row), f"{row.bars_changed:,}")
            for row in Restatement.objects.filter(symbol=symbol)[:SHOWN_RESTATEMENTS]
        ]
        if not rows:
            return "none"
        every = display.link_to_list(Restatement, "all restatements", symbol__id__exact=symbol.pk)
        return display.table(("session", "reason", "new / old price", "bars changed"), rows) + every

    @admin.action(description="Retrain selected symbols", permissions=["act"])
    def retrain(self, request: HttpRequest, symbols: QuerySet[Symbol]) -> HttpResponse | None:
        """Requests a training for each symbol in service, and shows the trainings."""
        return retraining.retrain(self, request, symbols)

    @admin.action(description="Pause automatic training", permissions=["act"])
    def pause(self, request: HttpRequest, symbols: QuerySet[Symbol]) -> None:
        """The daily job requests no retrainings of the symbols any more."""
        self.use_tool_on(request, symbols, tool="pause")

    @admin.action(description="Resume automatic training", permissions=["act"])
    def resume(self, request: HttpRequest, symbols: QuerySet[Symbol]) -> None:
        """The daily job requests retrainings of the symbols again."""
        self.use_tool_on(request, symbols, tool="resume")
