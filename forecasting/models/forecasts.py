"""The ledger: every forecast ever served, and what became of it."""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Avg, Case, Count, F, Q, Value, When

from forecasting.models.symbols import PriceBar, Symbol
from forecasting.models.versions import ModelVersion, VersionState

INFINITY = float("inf")  # Postgres sorts NaN above it, so that "less than infinity" refuses both

SHOWN = (
    *(
        "as_of",
        "target_date",
        "last_close",
        "price",
        "quantiles",
        "interval_level",
        "interval_low",
        "interval_high",
        "spread_factor",
        "probability_up",
    ),
    *("symbol__ticker", "symbol__exchange", "symbol__currency", "symbol__upstream_checked_at", "symbol__unknown_until"),
    *("version__symbol_id", "version__number", "version__trained_at", "version__metrics"),
)


class ForecastQuerySet(models.QuerySet["Forecast"]):
    """Reads of forecasts."""

    def scored(self) -> "ForecastQuerySet":
        """Those whose target session has happened."""
        return self.filter(scored_at__isnull=False)

    def due(self) -> "ForecastQuerySet":
        """Those whose target session has a bar by now, but no score."""
        bar = PriceBar.objects.filter(symbol=models.OuterRef("symbol"), date=models.OuterRef("target_date"))
        return self.filter(models.Exists(bar), scored_at__isnull=True)

    def of(self, symbols: Iterable[Symbol]) -> "ForecastQuerySet":
        """Forecasts of these symbols."""
        return self.filter(symbol__in=list(symbols))

    def from_newest_bar(self) -> "ForecastQuerySet":
        """Those that know everything that is stored: no bar of their symbol is newer."""
        newest = PriceBar.objects.filter(symbol=models.OuterRef("symbol")).order_by("-date").values("date")[:1]
        return self.filter(as_of=models.Subquery(newest, output_field=models.DateField()))

    def current(self) -> "ForecastQuerySet":
        """Each symbol's forecast by its active version from its newest bar, where it was issued already."""
        return self.filter(version__state=VersionState.ACTIVE, version__symbol=F("symbol")).from_newest_bar()

    def with_what_is_shown(self) -> "ForecastQuerySet":
        """With symbol and version, and of all three only the columns that an answer needs: a third faster than all columns."""
        return self.select_related("symbol", "version").only(*SHOWN)

    def track_record(self) -> "models.QuerySet[Any, Any]":
        """One row a symbol over its scored forecasts: `forecasts`, `mae` (price), `naive_mae`, `coverage` (share inside)."""
        inside = Case(When(inside_interval=True, then=Value(1.0)), default=Value(0.0))
        return (
            self.scored()
            .order_by("symbol_id")
            .values("symbol_id")
            .annotate(
                forecasts=Count("pk"),
                mae=Avg("absolute_error"),
                naive_mae=Avg("naive_absolute_error"),
                coverage=Avg(inside),
            )
        )


class Forecast(models.Model):
    """One forecast of one session's close. A trigger keeps every column but the score's from ever changing."""

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="forecasts")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="forecasts")
    as_of = models.DateField(help_text="The last session that the forecast knew.")
    target_date = models.DateField(help_text="The session whose close it forecasts.")
    last_close = models.FloatField()
    price = models.FloatField(help_text="The median.")
    quantiles = models.JSONField(help_text="Level to price.")
    interval_level = models.FloatField()
    interval_low = models.FloatField()
    interval_high = models.FloatField()
    spread_factor = models.FloatField(
        default=1.0, help_text="Of the online calibration: by how much the version's own quantiles were spread."
    )
    probability_up = models.FloatField()
    issued_at = models.DateTimeField(auto_now_add=True)
    actual_close = models.FloatField(null=True, blank=True)
    absolute_error = models.FloatField(null=True, blank=True)
    naive_absolute_error = models.FloatField(null=True, blank=True)
    inside_interval = models.BooleanField(null=True, blank=True)
    scored_at = models.DateTimeField(null=True, blank=True)

    objects = ForecastQuerySet.as_manager()

    class Meta:
        ordering = ["-target_date", "symbol_id", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "version", "as_of"], name="forecast_one_per_version_and_session"),
            models.CheckConstraint(condition=Q(target_date__gt=F("as_of")), name="forecast_target_is_later"),
            models.CheckConstraint(
                condition=Q(price__gt=0, price__lt=INFINITY, last_close__gt=0, last_close__lt=INFINITY),
                name="forecast_prices_positive",
            ),
            models.CheckConstraint(
                condition=Q(interval_low__lte=F("interval_high"), interval_low__gt=0, interval_high__lt=INFINITY),
                name="forecast_interval_ordered",
            ),
            models.CheckConstraint(condition=Q(interval_level__gt=0, interval_level__lt=1), name="forecast_level_is_a_fraction"),
            models.CheckConstraint(condition=Q(spread_factor__gt=0, spread_factor__lt=INFINITY), name="forecast_factor_positive"),
            models.CheckConstraint(
                condition=Q(probability_up__gte=0, probability_up__lte=1), name="forecast_probability_is_a_fraction"
            ),
            models.CheckConstraint(
                condition=Q(
                    scored_at__isnull=True,
                    actual_close__isnull=True,
                    absolute_error__isnull=True,
                    naive_absolute_error__isnull=True,
                    inside_interval__isnull=True,
                )
                | Q(
                    scored_at__isnull=False,
                    actual_close__isnull=False,
                    absolute_error__isnull=False,
                    naive_absolute_error__isnull=False,
                    inside_interval__isnull=False,
                ),
                name="forecast_scored_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["symbol", "-as_of"], name="forecast_newest"),
            models.Index(fields=["-target_date", "symbol", "-id"], name="forecast_list_order"),
            models.Index(fields=["symbol", "target_date"], condition=Q(scored_at__isnull=True), name="forecast_due"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.target_date}"

    @property
    def change_percent(self) -> float:
        """Forecast move, percent of the last close."""
        return 100 * (self.price / self.last_close - 1)

    @property
    def point_forecast(self) -> str:
        """What `price` is: `last_close`, or `model`, a median of which some weight serves."""
        return "last_close" if self.price == self.last_close else "model"
