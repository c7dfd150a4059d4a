"""Forecasts compared with the actual closes."""

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.models import Forecast, ModelVersion, Score
from forecasting.models.forecasts import HORIZONS


class InsideFilter(admin.SimpleListFilter):
    """Filters by whether the close was inside the interval."""

    title = "inside interval"
    parameter_name = "inside"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """The choices."""
        return [("yes", "yes"), ("no", "no"), ("unknown", "not scored yet")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Forecast]") -> "QuerySet[Forecast]":
        """The forecasts that match the choice."""
        chosen = {
            "yes": Q(score__inside_interval=True),
            "no": Q(score__inside_interval=False),
            "unknown": Q(score__isnull=True),
        }
        return queryset.filter(chosen.get(self.value() or "", Q()))


class HorizonFilter(admin.SimpleListFilter):
    """Filters by the number of sessions. Django's own filter would look for the values in all rows."""

    title = parameter_name = "horizon"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """The choices."""
        return [(str(sessions), str(sessions)) for sessions in HORIZONS]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Forecast]") -> "QuerySet[Forecast]":
        """The forecasts of the chosen horizon."""
        chosen = [sessions for sessions in HORIZONS if str(sessions) == self.value()]
        return queryset.filter(horizon__in=chosen) if chosen else queryset


@admin.register(Forecast)
class ForecastAdmin(ReadOnlyAdmin):
    """Every forecast ever served, with its scores."""

    list_display = (
        "symbol_link", "target", "knows", "version_number", "last_price", "forecast_price", "interval", "actual", "inside",
        "error", "naive_error",
    )  # fmt: skip
    list_display_links = ("target",)
    csv_fields = ("as_of", "horizon", "price", "interval_low", "interval_high", "interval_level", "probability_up")
    # A date_hierarchy would read all rows, twice.
    list_filter = (InsideFilter, "target_date", "basis", HorizonFilter, "symbol__exchange")
    search_fields = ("symbol__ticker",)
    fieldsets = (
        (None, {"fields": (
            "symbol_link", "version_link", "as_of", "target_date", "horizon", "basis", "known_until", "lead_table", "price_then",
            "issued_at",
        )}),
        ("Forecast", {"fields": (
            "last_price", "forecast_price", "interval", "spread", "probability", "risk_table", "quantile_table",
        )}),
        ("Result", {"fields": ("actual", "error", "naive_error", "inside", "score_table")}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Forecast]":
        """Adds the latest score."""
        return Forecast.objects.with_score().select_related("symbol", "version__symbol")

    @admin.display(description="symbol", ordering="symbol__ticker")
    def symbol_link(self, forecast: Forecast) -> SafeString | str:
        """The symbol."""
        return display.symbol_link(forecast.symbol)

    @admin.display(description="target date", ordering="target_date")
    def target(self, forecast: Forecast) -> SafeString:
        """The session whose close is forecast, and how far it is from the last one that was known."""
        far = f"{forecast.horizon} session{'s' if forecast.horizon > 1 else ''} after {display.day(forecast.as_of)}"
        return display.with_note(display.day(forecast.target_date), far)

    @admin.display(description="basis", ordering="basis")
    def knows(self, forecast: Forecast) -> str:
        """What it knew, and until when if it is one of several of a session."""
        label = forecast.get_basis_display()
        if forecast.quarter is None or forecast.known_until is None:
            return label
        return display.with_note(label, date_format(timezone.localtime(forecast.known_until), "TIME_FORMAT"))

    @admin.display(description="version")
    def version_link(self, forecast: Forecast) -> SafeString:
        """The version that made it."""
        return display.link(ModelVersion, forecast.version.pk, str(forecast.version))

    @admin.display(description="version", ordering="version__number")
    def version_number(self, forecast: Forecast) -> SafeString:
        """The version that made it, in short form."""
        short = f"v{forecast.version.number}" if forecast.version.symbol else str(forecast.version)
        return display.link(ModelVersion, forecast.version.pk, short)

    @admin.display(description="last close", ordering="last_close")
    def last_price(self, forecast: Forecast) -> str:
        """The last close before the forecast."""
        return display.price(forecast.last_close)

    @admin.display(description="forecast", ordering=F("price") / F("last_close"))
    def forecast_price(self, forecast: Forecast) -> SafeString:
        """The median and its change from the last close."""
        median = display.price(forecast.price, currency=forecast.symbol.currency)
        if forecast.point_forecast == "last_close":
            return display.with_note(median, "the last close")
        return display.with_note(median, display.percent(forecast.change_percent, places=2, signed=True))

    @admin.display(description="interval")
    def interval(self, forecast: Forecast) -> SafeString:
        """The interval and its probability."""
        low, high = display.price(forecast.interval_low), display.price(forecast.interval_high)
        return display.with_note(f"{low} to {high}", display.percent(100 * forecast.interval_level, places=0))

    @admin.display(description="online calibration")
    def spread(self, forecast: Forecast) -> str:
        """Change in width from the version's own interval, learned from the scores of its earlier forecasts."""
        change = 100 * (forecast.spread_factor - 1)
        return f"{display.percent(change, signed=True)} relative to the version's own interval"

    @admin.display(description="probability of a rise")
    def probability(self, forecast: Forecast) -> str:
        """Probability of a close above the last close."""
        return display.percent(100 * forecast.probability_up)

    @admin.display(description="leads")
    def lead_table(self, forecast: Forecast) -> str:
        """What other markets had done since the last close."""
        rows = [
            (display.link_to_ticker(lead["symbol"]), lead["session"], display.percent(lead["percentage"], signed=True))
            for lead in forecast.leads or []
        ]
        return display.table(("lead", "session", "move"), rows) if rows else display.NOTHING

    @admin.display(description="price then")
    def price_then(self, forecast: Forecast) -> str:
        """The price that a forecast during the session knew, and how much of the session was over."""
        if forecast.price_now is None or forecast.session_fraction is None:
            return display.NOTHING
        passed = f"{display.percent(100 * forecast.session_fraction, places=0)} of the session"
        return display.with_note(display.price(forecast.price_now, currency=forecast.symbol.currency), passed)

    @admin.display(description="risk")
    def risk_table(self, forecast: Forecast) -> str:
        """Probabilities of moves at least that large, and the value at risk."""
        if not forecast.risk:
            return display.NOTHING
        below, above = forecast.risk["below"], forecast.risk["above"]
        rows = [(f"{percent} %", *(display.percent(100 * side[percent]) for side in (below, above))) for percent in below]
        rows += [
            (f"loss exceeded with {100 - int(percent)} %", display.percent(loss), "")
            for percent, loss in forecast.risk["value_at_risk"].items()
        ]
        return display.table(("move", "below", "above"), rows)

    @admin.display(description="quantiles")
    def quantile_table(self, forecast: Forecast) -> SafeString:
        """Price by level."""
        levels = sorted(forecast.quantiles.items(), key=lambda item: float(item[0]))
        rows = ((display.percent(100 * float(level), places=0), display.price(price)) for level, price in levels)
        return display.table(("level", "price"), rows)

    @admin.display(description="actual close", ordering="score__actual_close")
    def actual(self, forecast: Forecast) -> str:
        """The close of the target session, or of the next one if it did not take place, on the forecast's price scale."""
        return _close(forecast.score, forecast)

    @admin.display(description="error", ordering="score__absolute_error")
    def error(self, forecast: Forecast) -> str:
        """Absolute error of the forecast."""
        return display.price(forecast.score.absolute_error if forecast.score else None, reference=forecast.last_close)

    @admin.display(description="naive error", ordering="score__naive_absolute_error")
    def naive_error(self, forecast: Forecast) -> str:
        """Absolute error of the last close."""
        return display.price(forecast.score.naive_absolute_error if forecast.score else None, reference=forecast.last_close)

    @admin.display(description="inside", ordering="score__inside_interval")
    def inside(self, forecast: Forecast) -> str:
        """Whether the close was inside the interval."""
        return _inside(forecast.score)

    @admin.display(description="scores")
    def score_table(self, forecast: Forecast) -> str:
        """All scores, the newest (current) one first."""
        rows = [
            (date_format(timezone.localtime(score.scored_at), "DATETIME_FORMAT"), score.get_reason_display(),
             display.day(score.actual_date), _close(score, forecast), _inside(score))
            for score in forecast.scores.all()
        ]  # fmt: skip
        return display.table(("scored at", "reason", "session", "actual close", "inside"), rows) if rows else display.NOTHING


def _close(score: Score | None, forecast: Forecast) -> str:
    """The actual close, with its session if that differs from the target."""
    if score is None:
        return display.NOTHING
    close = display.price(score.actual_close, reference=forecast.last_close, currency=forecast.symbol.currency)
    return close if score.actual_date == forecast.target_date else display.with_note(close, display.day(score.actual_date))


def _inside(score: Score | None) -> str:
    if score is None:
        return display.NOTHING
    return display.badge("inside", Tone.GOOD) if score.inside_interval else display.badge("outside", Tone.WARNING)
