"""Forecasts: each beside what really happened."""

from django.contrib import admin
from django.db.models import F
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import Forecast, ModelVersion, Symbol


@admin.register(Forecast)
class ForecastAdmin(ReadOnlyAdmin):
    """Every forecast ever served; only its score is written later, by the daily job."""

    list_display = (
        "symbol", "target_date", "version_number", "last_price", "forecast_price", "interval", "actual", "error", "naive_error",
        "inside",
    )  # fmt: skip
    list_filter = ("inside_interval", "symbol__exchange")
    date_hierarchy = "target_date"
    search_fields = ("symbol__ticker",)
    list_select_related = ("symbol", "version__symbol")
    fieldsets = (
        (None, {"fields": ("symbol_link", "version_link", "as_of", "target_date", "issued_at")}),
        ("Forecast", {"fields": ("last_price", "forecast_price", "interval", "spread", "probability", "quantile_table")}),
        ("What happened", {"fields": ("actual", "error", "naive_error", "inside", "scored_at")}),
    )

    @admin.display(description="symbol")
    def symbol_link(self, forecast: Forecast) -> SafeString:
        """The symbol."""
        return display.link(Symbol, forecast.symbol.pk, forecast.symbol.ticker)

    @admin.display(description="version")
    def version_link(self, forecast: Forecast) -> SafeString:
        """The version that made it."""
        return display.link(ModelVersion, forecast.version.pk, str(forecast.version))

    @admin.display(description="version", ordering="version__number")
    def version_number(self, forecast: Forecast) -> SafeString:
        """The version that made it, in short."""
        short = f"v{forecast.version.number}" if forecast.version.symbol else str(forecast.version)
        return display.link(ModelVersion, forecast.version.pk, short)

    @admin.display(description="last close", ordering="last_close")
    def last_price(self, forecast: Forecast) -> str:
        """The close that it knew."""
        return display.price(forecast.last_close)

    @admin.display(description="forecast", ordering=F("price") / F("last_close"))
    def forecast_price(self, forecast: Forecast) -> SafeString:
        """The median, and its change on the last close."""
        median = display.price(forecast.price, currency=forecast.symbol.currency)
        if forecast.point_forecast == "last_close":
            return display.with_note(median, "the last close")
        return display.with_note(median, display.percent(forecast.change_percent, places=2, signed=True))

    @admin.display(description="interval")
    def interval(self, forecast: Forecast) -> SafeString:
        """Where the close lies with the interval's probability."""
        low, high = display.price(forecast.interval_low), display.price(forecast.interval_high)
        return display.with_note(f"{low} to {high}", display.percent(100 * forecast.interval_level, places=0))

    @admin.display(description="online calibration")
    def spread(self, forecast: Forecast) -> str:
        """How much wider or narrower than the version's own the interval is, after the outcomes of its earlier forecasts."""
        change = 100 * (forecast.spread_factor - 1)
        return f"{display.percent(change, signed=True)} against the version's own interval"

    @admin.display(description="probability of a rise")
    def probability(self, forecast: Forecast) -> str:
        """That the close lies above the last one."""
        return display.percent(100 * forecast.probability_up)

    @admin.display(description="quantiles")
    def quantile_table(self, forecast: Forecast) -> SafeString:
        """Price by level."""
        levels = sorted(forecast.quantiles.items(), key=lambda item: float(item[0]))
        rows = ((display.percent(100 * float(level), places=0), display.price(price)) for level, price in levels)
        return display.table(("level", "price"), rows)

    @admin.display(description="actual close", ordering="actual_close")
    def actual(self, forecast: Forecast) -> str:
        """The target session's close, in the units of the forecast."""
        return display.price(forecast.actual_close, reference=forecast.last_close, currency=forecast.symbol.currency)

    @admin.display(description="error", ordering="absolute_error")
    def error(self, forecast: Forecast) -> str:
        """How far the forecast was off."""
        return display.price(forecast.absolute_error, reference=forecast.last_close)

    @admin.display(description="naive error", ordering="naive_absolute_error")
    def naive_error(self, forecast: Forecast) -> str:
        """How far the last close was off."""
        return display.price(forecast.naive_absolute_error, reference=forecast.last_close)

    @admin.display(description="inside", ordering="inside_interval")
    def inside(self, forecast: Forecast) -> str:
        """Whether the close fell into the interval."""
        if forecast.inside_interval is None:
            return display.NOTHING
        return display.badge("inside", Tone.GOOD) if forecast.inside_interval else display.badge("outside", Tone.WARNING)
