"""Symbols: overview and retraining."""

from datetime import date, datetime
from typing import Any, Protocol

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.safestring import SafeString

from forecasting.admin import display, records, upstream
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.admin.symbol_record import SymbolRecord
from forecasting.admin.version_comparison import comparison
from forecasting.bokeh import shows_chart
from forecasting.callers.caller import caller_of
from forecasting.models import Finding, Forecast, ModelVersion, PriceBar, Quote, Restatement, Score, Symbol, Training
from forecasting.training import requests as training_requests
from forecasting.training.requests import Requested

SHOWN_BARS = 10
SHOWN_RESTATEMENTS = 10
SHOWN_FINDINGS = 10


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


@admin.register(Symbol)
class SymbolAdmin(SymbolRecord, ReadOnlyAdmin):
    """The requested symbols."""

    list_display = ("ticker", "market", "last_bar", "active_version", "newest_forecast", "coverage", "pinball_ratio", "upstream")
    list_filter = ("upstream_state", "followed", "exchange", ("removed_at", admin.EmptyFieldListFilter))
    search_fields = ("ticker",)
    actions = ("retrain",)
    fieldsets = (
        (None, {"fields": ("ticker", "market", "currency", "followed", "created_at", "removed_at", "related_rows")}),
        ("Model", {"fields": ("active_version", "newest_forecast", "knows")}),
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
        symbol = self.get_object(request, object_id) if self.has_view_permission(request) else None
        shown = {"comparison": comparison(symbol, request.GET)} if isinstance(symbol, Symbol) else {}
        return super().change_view(request, object_id, form_url, (extra_context or {}) | shown)

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
        """The version that serves, and its age."""
        if not symbol.version_id:
            return display.NOTHING
        return display.with_note(
            display.link(ModelVersion, symbol.version_id, f"v{symbol.version_number}"), display.age(symbol.trained_at)
        )

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
            return display.NOTHING
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
            return display.NOTHING
        every = display.link_to_list(Restatement, "all restatements", symbol__id__exact=symbol.pk)
        return display.table(("session", "reason", "new / old price", "bars changed"), rows) + every

    @admin.action(description="Retrain selected symbols", permissions=["act"])
    def retrain(self, request: HttpRequest, symbols: QuerySet[Symbol]) -> None:
        """Requests a training for each symbol in service, up to the limit of the queue; queued ones get a higher priority."""
        if removed := list(symbols.exclude(removed_at=None)):
            names = ", ".join(symbol.ticker for symbol in removed)
            self.message_user(request, f"Not trained, because out of service: {names}.", messages.ERROR)
        requested = training_requests.request_many(symbols.filter(removed_at=None), by=str(caller_of(request.user)))
        for symbol in symbols:
            if symbol.pk in requested.trainings:
                self.log_change(request, symbol, "Training requested.")
        self._report(request, requested)

    def _report(self, request: HttpRequest, requested: Requested) -> None:
        """Shows the result for the selected symbols."""
        text = f"{display.count(requested.started, 'training')} started"
        if requested.active:
            text += f", {display.count(requested.active, 'training')} under way already"
        self.message_user(request, f"{text}.", messages.SUCCESS if requested.trainings else messages.WARNING)
        if requested.refused:
            limit = training_requests.FULL.format(limit=settings.TRAIN_QUEUE_LIMIT)
            self.message_user(request, f"{display.count(requested.refused, 'training')} not started: {limit}.", messages.ERROR)
