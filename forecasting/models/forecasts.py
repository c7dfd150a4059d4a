"""The ledger: every forecast ever served, with its scores."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Case, F, FilteredRelation, Q, When
from django.db.models.functions import JSONObject
from django.utils import timezone
from django.utils.functional import cached_property

from forecasting.models.bars import PriceBar
from forecasting.models.restatements import Restatement
from forecasting.models.symbols import Symbol, SymbolQuerySet
from forecasting.models.versions import ModelVersion, VersionState
from forecasting.prices import price_digits

if TYPE_CHECKING:
    from forecasting.models.scores import Score
    from forecasting.prices.quotes import Quote

INFINITY = float("inf")  # Postgres sorts NaN above infinity, so "less than infinity" rejects both

# If the target session has no bar, the forecast is scored with the next bar once this many later bars exist. The quality gate may
# leave out a bad newest bar; the next syncs then request it again, here on three evenings. If the bar arrives even later, a
# corrected score follows.
BARS_WITHOUT_TARGET = 3

PRICES = ("last_close", "price", "interval_low", "interval_high")
HORIZONS = (1, 5, 10, 21)  # sessions from the last known one to the target
QUARTER = timedelta(minutes=15)  # of each one, the first forecast during the session is kept


class Basis(models.TextChoices):
    """What a forecast knew. In alphabetical order, each one knows more than those before."""

    CLOSE = "close", "own bars"  # the symbol's own bars up to `as_of`
    LEAD = "lead", "own bars and leads"  # also sessions of other markets that ended after `as_of`
    LIVE = "live", "own bars and price now"  # also the price during the target session


OUTLOOK = ("horizon", "target_date", "last_close", "price", "interval_level", "interval_low", "interval_high", "quantiles")


class Outlook(NamedTuple):
    """A forecast of a later session, as part of the one of the next session."""

    horizon: int
    target_date: str  # ISO 8601
    last_close: float
    price: float
    interval_level: float
    interval_low: float
    interval_high: float
    quantiles: dict[str, float]
    decimals: int


OF_THE_SESSION = ("target_closes", "quarter", "price_now", "session_fraction", "quote")
BEFORE_THE_SESSION = dict.fromkeys(OF_THE_SESSION, None)
DURING_THE_SESSION = {f"{name}__isnull": False for name in ("known_until", "target_opens", *OF_THE_SESSION)}


def quarter_of(moment: datetime) -> datetime:
    """The start of its quarter of an hour."""
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)


def ascending(quantiles: Mapping[str, float]) -> list[tuple[str, float]]:
    """Level and price of each quantile, by level: Postgres sorts the keys of an object by length."""
    return sorted(quantiles.items(), key=lambda item: float(item[0]))


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

    def before_the_session(self) -> "ForecastQuerySet":
        """Forecasts that know nothing of their target session."""
        return self.filter(quarter=None)

    def of_next_close(self) -> "ForecastQuerySet":
        """Forecasts of the next session from the symbol's own bars: one for each session and version."""
        return self.filter(horizon=1, basis=Basis.CLOSE, quarter=None)  # the last one names the index

    def by_serving_versions(self) -> "ForecastQuerySet":
        """Forecasts by the version that serves their symbol now: its own, else the base."""
        own = ModelVersion.objects.active().filter(symbol=models.OuterRef("symbol"))
        return self.filter(Q(version__symbol=F("symbol")) | ~models.Exists(own), version__state=VersionState.ACTIVE)

    def one_per_session_and_basis(self) -> "ForecastQuerySet":
        """Of each target session and basis one forecast of the next close, oldest first: the one issued last; of those during the
        session the first, which knew least."""
        kinds = ("target_date", "basis")
        return self.filter(horizon=1).order_by(*kinds, "quarter", "-issued_at", "-pk").distinct(*kinds)

    def with_outlook(self) -> "ForecastQuerySet":
        """Adds `outlook`: the forecasts of later sessions that were issued with each, nearest first."""
        same = {name: models.OuterRef(name) for name in ("symbol", "version", "as_of")}
        further = Forecast.objects.filter(**same, horizon__gt=1, basis=Basis.CLOSE).order_by("horizon")
        return self.annotate(outlook=ArraySubquery(further.values(outlook=JSONObject(**{name: name for name in OUTLOOK}))))  # type: ignore[no-redef]  # the plugin

    def of(self, symbols: Iterable[Symbol]) -> "ForecastQuerySet":
        """Forecasts of these symbols."""
        return self.filter(symbol__in=list(symbols))

    def newest_of(self, symbols: SymbolQuerySet) -> "ForecastQuerySet":
        """The newest forecast of each symbol's next close that was made before its session opened."""
        theirs = Forecast.objects.filter(symbol=models.OuterRef("pk"), horizon=1).before_the_session().order_by("-as_of", "-pk")
        return self.filter(pk__in=symbols.order_by().values(newest=models.Subquery(theirs.values("pk")[:1])))

    def with_closes(self, count: int) -> "ForecastQuerySet":
        """Adds `closes`: the last `count` closes up to `as_of`, newest first, in prices of today; and `rescaled_id`."""
        bars = PriceBar.objects.filter(symbol=models.OuterRef("symbol"), date__lte=models.OuterRef("as_of")).order_by("-date")
        rescalings = Restatement.objects.rescalings().filter(symbol=models.OuterRef("symbol"))
        return self.annotate(  # type: ignore[no-redef]  # the plugin
            closes=ArraySubquery(bars.values("close")[:count]), rescaled_id=models.Subquery(rescalings.values("pk")[:1])
        )

    def from_newest_bar(self) -> "ForecastQuerySet":
        """Forecasts made from the newest stored bar of their symbol."""
        newest = PriceBar.objects.filter(symbol=models.OuterRef("symbol")).order_by("-date").values("date")[:1]
        return self.filter(as_of=models.Subquery(newest, output_field=models.DateField()))


class Forecast(models.Model):
    """One forecast of one session's close. A trigger prevents updates; results are stored as scores.

    A `lead` row knows what other markets did until `known_until`; the database refuses one that was issued earlier, or after the
    target session opened. A `live` row knows the price at `known_until`, during the target session; the database refuses one that
    was issued earlier, or after the close. One is kept a quarter of an hour.
    """

    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="forecasts")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="forecasts")
    as_of = models.DateField(help_text="The last session used by the forecast.")
    target_date = models.DateField(help_text="The session whose close is forecast.")
    horizon = models.PositiveSmallIntegerField(default=1, db_default=1, help_text="Sessions from `as_of` to `target_date`.")
    basis = models.CharField(max_length=5, choices=Basis, default=Basis.CLOSE, db_default=Basis.CLOSE)
    known_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the leads were read, or when the price now was made; empty if it knows own bars only.",
    )
    target_opens = models.DateTimeField(
        null=True, blank=True, help_text="Opening of the target session; empty if it knows own bars only."
    )
    target_closes = models.DateTimeField(null=True, blank=True, help_text="Close of the target session; empty before that opens.")
    quarter = models.DateTimeField(
        null=True, blank=True, help_text="Start of the quarter of an hour of `issued_at`; empty before the target session opens."
    )
    price_now = models.FloatField(null=True, blank=True, help_text="Empty before the target session opens.")
    session_fraction = models.FloatField(
        null=True, blank=True, help_text="Share of the target session's trading time until `known_until`."
    )
    quote = models.JSONField(
        null=True, blank=True, help_text="Open, high, low and volume of the target session until `known_until`."
    )
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
    outlook: "Sequence[dict[str, Any]] | None" = None  # forecasts issued with it, set by `with_outlook` and `kept`
    closes: "Sequence[float]" = ()  # set by `with_closes`
    rescaled_id: int | None = None  # the key of its symbol's last split or dividend, set by `with_closes`
    computed: "tuple[Quote, Forecast] | None" = None  # that of a later quote which is not in the ledger, set by live.py
    objects = ForecastQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["-as_of", "symbol_id", "horizon", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["symbol", "version", "as_of", "horizon", "basis"],
                condition=Q(quarter=None),
                name="forecast_one_per_version_and_session",
            ),
            models.UniqueConstraint(
                fields=["symbol", "version", "as_of", "quarter"],
                condition=Q(quarter__isnull=False),
                name="forecast_one_per_quarter_of_an_hour",
            ),
            models.CheckConstraint(condition=Q(horizon__gte=1), name="forecast_horizon_positive"),
            models.CheckConstraint(
                condition=Q(basis=Basis.CLOSE, known_until=None, target_opens=None, leads=None, **BEFORE_THE_SESSION)
                | Q(basis=Basis.LEAD, horizon=1, known_until__isnull=False, target_opens__isnull=False, leads__isnull=False)
                & Q(known_until__lte=F("issued_at"), issued_at__lt=F("target_opens"), **BEFORE_THE_SESSION)
                | Q(basis=Basis.LIVE, horizon=1, leads=None, **DURING_THE_SESSION)  # nulls pass every comparison
                & Q(known_until__gte=F("target_opens"), known_until__lte=F("issued_at"), issued_at__lt=F("target_closes"))
                & Q(quarter__lte=F("issued_at"), issued_at__lt=F("quarter") + QUARTER, price_now__gt=0, price_now__lt=INFINITY)
                & Q(session_fraction__gte=0, session_fraction__lte=1),
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
            models.Index(fields=["target_date"], name="forecast_by_target"),
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
        return [Outlook(**self._in_its_units(each), decimals=self.decimals) for each in self.outlook or ()]

    def _in_its_units(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        ratio = self.last_close / entry["last_close"]
        quantiles = {level: price * ratio for level, price in entry["quantiles"].items()}
        return {**entry, **{name: entry[name] * ratio for name in PRICES}, "quantiles": quantiles}

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
        """The source of `price`: `price_now`, `lead`, else `last_close`, or `model` if the model's median has any weight."""
        if self.basis != Basis.CLOSE:
            return "price_now" if self.basis == Basis.LIVE else "lead"
        return "last_close" if self.price == self.last_close else "model"
