"""The ledger: every forecast ever served, with its scores."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Case, F, FilteredRelation, Q, When
from django.db.models.functions import JSONObject
from django.utils import timezone
from django.utils.functional import cached_property

from forecasting.models.prepared import Columns, Prepared
from forecasting.models.restatements import Restatement
from forecasting.models.symbols import PriceBar, Symbol
from forecasting.models.trainings import Training
from forecasting.models.versions import ModelVersion
from forecasting.prices import price_digits

if TYPE_CHECKING:
    from forecasting.models.scores import Score

INFINITY = float("inf")  # Postgres sorts NaN above infinity, so "less than infinity" rejects both

# If the target session has no bar, the forecast is scored with the next bar once this many later bars exist. The quality gate may
# leave out a bad newest bar; the next syncs then request it again, here on three evenings. If the bar arrives even later, a
# corrected score follows.
BARS_WITHOUT_TARGET = 3

HORIZONS = (1, 5, 10, 21)  # sessions from the last known one to the target


class Basis(models.TextChoices):
    """What a forecast knew. In alphabetical order, each one knows more than those before."""

    CLOSE = "close", "own bars"  # the symbol's own bars up to `as_of`
    LEAD = "lead", "own bars and leads"  # also sessions of other markets that ended after `as_of`


OUTLOOK = ("horizon", "target_date", "price", "interval_level", "interval_low", "interval_high", "quantiles")


class Outlook(NamedTuple):
    """A forecast of a later session, as part of the one of the next session."""

    horizon: int
    target_date: str  # ISO 8601
    price: float
    interval_level: float
    interval_low: float
    interval_high: float
    quantiles: dict[str, float]
    decimals: int


class ForecastQuerySet(models.QuerySet["Forecast"]):
    """Reads of forecasts."""

    def with_score(self) -> "ForecastQuerySet":
        """Adds the latest score as `score`; None before the first."""
        latest = FilteredRelation("scores", condition=Q(scores__latest=True))
        return self.annotate(score=latest).select_related("score")  # type: ignore[misc, no-redef]  # the plugin knows no such relation

    def scored(self) -> "ForecastQuerySet":
        """Forecasts whose target session is over, with their score."""
        return self.with_score().filter(Q(score__isnull=False))

    def due(self) -> "ForecastQuerySet":
        """Unscored forecasts whose target session has a bar by now, or is known not to have taken place."""
        bars = PriceBar.objects.filter(symbol=models.OuterRef("symbol"))
        happened = models.Exists(bars.filter(date=models.OuterRef("target_date")))
        later = bars.filter(date__gt=models.OuterRef("target_date")).order_by("date").values("pk")
        passed_over = models.Exists(later[BARS_WITHOUT_TARGET - 1 : BARS_WITHOUT_TARGET])
        # Without the CASE, the planner looks up the bars of every forecast before it filters out the scored ones.
        only_then = Case(When(Q(score__isnull=True), then=happened | passed_over), output_field=models.BooleanField())
        return self.with_score().filter(Q(score__isnull=True), only_then)

    def of_next_close(self) -> "ForecastQuerySet":
        """Forecasts of the next session from the symbol's own bars: one for each session and version."""
        return self.filter(horizon=1, basis=Basis.CLOSE)

    def with_outlook(self) -> "ForecastQuerySet":
        """Adds `outlook`: the forecasts of later sessions that were issued with each, nearest first."""
        same = {name: models.OuterRef(name) for name in ("symbol", "version", "as_of")}
        further = Forecast.objects.filter(**same, horizon__gt=1, basis=Basis.CLOSE).order_by("horizon")
        return self.annotate(outlook=ArraySubquery(further.values(outlook=JSONObject(**{name: name for name in OUTLOOK}))))  # type: ignore[no-redef]  # the plugin

    def of(self, symbols: Iterable[Symbol]) -> "ForecastQuerySet":
        """Forecasts of these symbols."""
        return self.filter(symbol__in=list(symbols))

    def from_newest_bar(self) -> "ForecastQuerySet":
        """Forecasts made from the newest stored bar of their symbol."""
        newest = PriceBar.objects.filter(symbol=models.OuterRef("symbol")).order_by("-date").values("date")[:1]
        return self.filter(as_of=models.Subquery(newest, output_field=models.DateField()))


class Forecast(models.Model):
    """One forecast of one session's close. A trigger prevents updates; results are stored as scores.

    A `lead` row knows what other markets did until `known_until`; the database refuses one that was issued earlier, or after the
    target session opened.
    """

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="forecasts")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="forecasts")
    as_of = models.DateField(help_text="The last session used by the forecast.")
    target_date = models.DateField(help_text="The session whose close is forecast.")
    horizon = models.PositiveSmallIntegerField(default=1, db_default=1, help_text="Sessions from `as_of` to `target_date`.")
    basis = models.CharField(max_length=5, choices=Basis, default=Basis.CLOSE, db_default=Basis.CLOSE)
    known_until = models.DateTimeField(null=True, blank=True, help_text="When the leads were read; empty without leads.")
    target_opens = models.DateTimeField(null=True, blank=True, help_text="Opening of the target session; empty without leads.")
    leads = models.JSONField(null=True, blank=True, help_text="Symbol, last session and move in percent of each lead.")
    last_close = models.FloatField()
    price = models.FloatField(help_text="The median.")
    quantiles = models.JSONField(help_text="Maps probability level to price.")
    reference = models.JSONField(
        null=True, blank=True, help_text="The same quantiles of the reference forecast: the symbol's last 250 sessions."
    )
    interval_level = models.FloatField()
    interval_low = models.FloatField()
    interval_high = models.FloatField()
    spread_factor = models.FloatField(
        default=1.0, help_text="Spread relative to the version's own quantiles, set by the online calibration."
    )
    probability_up = models.FloatField()
    risk = models.JSONField(
        null=True,
        blank=True,
        help_text="Probabilities of closes further below and above the last one, and the value at risk, both by percent; empty if "
        "the version does not know the tails.",
    )
    simulated = models.BooleanField(
        null=True, blank=True, help_text="Whether the prices were simulated; empty for forecasts of earlier releases."
    )
    issued_at = models.DateTimeField(default=timezone.now)
    restatement = models.ForeignKey(
        Restatement,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The symbol's last restatement when the bars were read.",
    )

    score: "Score | None" = None  # the latest score, set by `with_score`
    outlook: "Sequence[dict[str, Any]] | None" = None  # forecasts issued with it, set by `with_outlook` and `STANDING`
    newest_training: Training | None = None  # of a symbol that the base serves, set by `STANDING`
    objects = ForecastQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["-as_of", "symbol_id", "horizon", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "version", "as_of", "horizon", "basis"], name="forecast_one_per_version_and_session"
            ),
            models.CheckConstraint(condition=Q(horizon__gte=1), name="forecast_horizon_positive"),
            models.CheckConstraint(
                condition=Q(basis=Basis.CLOSE, known_until__isnull=True, target_opens__isnull=True, leads__isnull=True)
                | Q(basis=Basis.LEAD, horizon=1, known_until__isnull=False, target_opens__isnull=False, leads__isnull=False)
                & Q(known_until__lte=F("issued_at"), issued_at__lt=F("target_opens")),
                name="forecast_knows_the_past_only",
            ),
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
        ]
        indexes = [
            models.Index(fields=["symbol", "-as_of"], name="forecast_newest"),
            models.Index(fields=["-as_of", "symbol", "horizon", "-id"], name="forecast_list_order"),
            models.Index(fields=["symbol", "target_date"], name="forecast_of_session"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.target_date}"

    @cached_property
    def decimals(self) -> int:
        """Decimal places of its prices wherever they are shown."""
        return price_digits.decimals(self.last_close)

    @property
    def outlooks(self) -> list[Outlook]:
        """The forecasts of later sessions that were issued with it, nearest first; none by versions of earlier releases."""
        return [Outlook(**each, decimals=self.decimals) for each in self.outlook or ()]

    @property
    def change_percent(self) -> float:
        """The forecast move, in percent of the last close."""
        return 100 * (self.price / self.last_close - 1)

    @property
    def usual_width(self) -> float | None:
        """Width of the interval beside its usual one; None if that is not known."""
        usual = self.version.usual_width
        return (self.interval_high - self.interval_low) / self.last_close / usual if usual else None

    @property
    def point_forecast(self) -> str:
        """The source of `price`: `lead`, else `last_close`, or `model` if the model's median has any weight."""
        if self.basis == Basis.LEAD:
            return "lead"
        return "last_close" if self.price == self.last_close else "model"


def _standing(columns: Sequence[str]) -> tuple[str, Sequence[Any]]:
    """Not by the ORM: it has no LATERAL, so it would look up the newest bar for each old forecast of a symbol."""
    *columns, _ = columns  # the last one is the outlook
    selected = ", ".join(column.replace("__", ".") if "__" in column else f"forecast.{column}" for column in columns)
    outlook = ", ".join(f"'{name}', {name}" for name in OUTLOOK)
    return (
        f"""
        SELECT {selected}, further.outlook
        FROM forecasting_symbol AS symbol
        LEFT JOIN forecasting_modelversion AS own ON own.symbol_id = symbol.id AND own.state = 'active'
        JOIN forecasting_modelversion AS version ON version.id = COALESCE(
            own.id, (SELECT id FROM forecasting_modelversion WHERE symbol_id IS NULL AND state = 'active')
        )
        CROSS JOIN LATERAL (
            SELECT date FROM forecasting_pricebar WHERE symbol_id = symbol.id ORDER BY date DESC LIMIT 1
        ) AS newest_bar
        JOIN LATERAL (
            SELECT * FROM forecasting_forecast
            WHERE symbol_id = symbol.id AND version_id = version.id AND as_of = newest_bar.date AND horizon = 1
            ORDER BY basis DESC LIMIT 1 -- one that knows leads before one that does not
        ) AS forecast ON true
        LEFT JOIN LATERAL (
            SELECT * FROM forecasting_training WHERE symbol_id = symbol.id AND own.id IS NULL
            ORDER BY created_at DESC, id DESC LIMIT 1
        ) AS newest_training ON true
        CROSS JOIN LATERAL (
            SELECT jsonb_agg(jsonb_build_object({outlook}) ORDER BY horizon) AS outlook FROM forecasting_forecast
            WHERE symbol_id = symbol.id AND version_id = version.id AND as_of = newest_bar.date AND horizon > 1 AND basis = 'close'
        ) AS further
        WHERE symbol.ticker = ANY ($1) AND symbol.removed_at IS NULL
        """,  # noqa: S608 - column names of our own
        (),
    )


# The best forecast of each symbol in service from its newest bar, by its active version or else by the active base. For a symbol
# that the base serves, its newest training too. Each has its outlook.
STANDING = Prepared(
    "standing_forecasts",
    Columns(
        Forecast,
        frozenset(
            {
                *("symbol_id", "version_id", "as_of", "target_date", "last_close", "price", "quantiles", "spread_factor"),
                *("basis", "known_until", "leads", "risk"),
                *("interval_level", "interval_low", "interval_high", "probability_up"),
            }
        ),
    ),
    related={
        "symbol": Columns(
            Symbol,
            frozenset(
                {
                    *("ticker", "exchange", "currency", "synced_at", "upstream_state", "upstream_checked_at", "unknown_until"),
                }
            ),
        ),
        "version": Columns(ModelVersion, frozenset({"symbol_id", "number", "trained_at", "metrics"})),
        "newest_training": Columns(Training, frozenset({"state", "finished_at"})),
    },
    objects=["outlook"],
    statement=_standing,
)
