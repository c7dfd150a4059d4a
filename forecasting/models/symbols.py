"""Symbols: what the service follows."""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import JSONObject, Upper

from forecasting.models.bars import PriceBar
from forecasting.models.names import RequestedName
from forecasting.prices.calendars import exchange_of
from forecasting.prices.rate_classes import rate_class
from forecasting.prices.suggestions import spellings

if TYPE_CHECKING:
    from forecasting.models.quotes import Quote
    from forecasting.models.trainings import Training
    from forecasting.models.versions import ModelVersion

TICKER = r"[A-Z0-9^][A-Z0-9.^=&_-]{0,23}"
TICKER_IN_ANY_CASE = TICKER.replace("A-Z", "A-Za-z")
SQUARED = ("judged", "reference", "loss_squared", "loss_times_reference", "reference_squared")  # see SQUARES in scores.py
TAKEN_OUT = "the symbol was taken out of service by the operator"
_ISIN = re.compile(r"\A[A-Z]{2}[A-Z0-9]{9}[0-9]\Z")


def ticker_problem(ticker: str) -> str | None:
    """Why a trimmed, upper-case text cannot be a symbol, or None."""
    if not re.fullmatch(TICKER, ticker):
        return "A symbol has 1 to 24 characters: letters, digits and . ^ = & _ -, and starts with a letter, a digit or ^."
    if _ISIN.match(ticker):
        return "This is an ISIN; give the exchange's symbol, such as PETR4.SA."
    return None


class UpstreamState(models.TextChoices):
    """The price source's last answer for a symbol."""

    NEVER_ASKED = "never_asked", "never asked"
    OK = "ok", "ok"
    UNKNOWN = "unknown", "unknown symbol"
    UNAVAILABLE = "unavailable", "unavailable"
    RATE_LIMITED = "rate_limited", "rate limited"
    BAD_DATA = "bad_data", "bad data"


class SymbolQuerySet(models.QuerySet["Symbol"]):
    """Reads of symbols."""

    def named(self, tickers: Iterable[str]) -> "SymbolQuerySet":
        """The symbols of these tickers."""
        return self.filter(ticker__in=list(tickers))

    def by_ticker(self, tickers: Iterable[str]) -> "dict[str, Symbol]":
        """The symbols of these tickers, by ticker; names that are no symbols are missing."""
        return {symbol.ticker: symbol for symbol in self.named(tickers)}

    def in_service(self) -> "SymbolQuerySet":
        """All symbols except those that an operator took out of service."""
        return self.filter(removed_at=None)

    def followed(self) -> "SymbolQuerySet":
        """All symbols in service except those that are only synced, because others are forecast with their prices."""
        return self.in_service().filter(followed=True)

    def trained_automatically(self) -> "SymbolQuerySet":
        """All symbols except those whose automatic retraining is paused."""
        return self.filter(paused_at=None)

    def known(self) -> "SymbolQuerySet":
        """All symbols except those that the price source does not know."""
        return self.exclude(upstream_state=UpstreamState.UNKNOWN)

    def worth_asking(self, *, now: datetime) -> "SymbolQuerySet":
        """All symbols in service except those with an unexpired "unknown symbol" answer."""
        return self.in_service().exclude(unknown_until__gt=now)

    def that_never_had_bars(self) -> "SymbolQuerySet":
        """Symbols in service of which nothing exists but findings and ended trainings."""
        children = ("PriceBar", "ModelVersion", "Forecast", "Restatement")
        traces = [apps.get_model("forecasting", name).objects.filter(symbol=models.OuterRef("pk")) for name in children]
        active = apps.get_model("forecasting.Training").objects.active().filter(symbol=models.OuterRef("pk"))
        return self.in_service().filter(*(~models.Exists(rows) for rows in [*traces, active]))

    def without_trainings(self) -> "SymbolQuerySet":
        """Symbols that were never trained, not even in vain."""
        return self.filter(trainings=None)

    def with_bars(self) -> "SymbolQuerySet":
        """Symbols with at least one bar."""
        return self.filter(models.Exists(PriceBar.objects.filter(symbol=models.OuterRef("pk"))))

    def like(self, tickers: Iterable[str]) -> "SymbolQuerySet":
        """Symbols in service with bars that these tickers may mean: another spelling, or the ticker plus an exchange suffix."""
        asked = list(tickers)
        same = Q(ticker__in=[spelling for ticker in asked for spelling in spellings(ticker)])
        for ticker in asked:
            same |= Q(ticker__startswith=f"{ticker}.")
        return self.in_service().with_bars().filter(same)

    def largest_exchanges(self, count: int) -> list[str]:
        """The exchanges with the most of these symbols, the largest first."""
        known = self.exclude(exchange=None).order_by().values("exchange")
        counted = known.annotate(symbols=models.Count("pk")).order_by("-symbols", "exchange")
        return [exchange for exchange in counted.values_list("exchange", flat=True)[:count] if exchange]

    def with_history(self, bars: int) -> "SymbolQuerySet":
        """Symbols with at least this many bars."""
        nth = PriceBar.objects.filter(symbol=models.OuterRef("pk")).order_by("-date").values("pk")[bars - 1 : bars]
        return self.filter(models.Exists(nth))

    def with_bar_since(self, day: date) -> "SymbolQuerySet":
        """Symbols with a bar on or after this day."""
        return self.filter(models.Exists(PriceBar.objects.filter(symbol=models.OuterRef("pk"), date__gte=day)))

    def with_last_bar(self) -> "SymbolQuerySet":
        """Adds `last_date` and `last_close` of the newest bar; None without bars."""
        newest = PriceBar.objects.filter(symbol=models.OuterRef("pk")).order_by("-date")
        return self.annotate(
            last_date=models.Subquery(newest.values("date")[:1]),  # type: ignore[no-redef]  # the plugin
            last_close=models.Subquery(newest.values("close")[:1]),
        )

    def with_newest_restatements(self, *columns: str, count: int) -> "SymbolQuerySet":
        """Adds `newest_restatements`: these columns of the symbol's last `count` restatements, newest first."""
        restatements = apps.get_model("forecasting.Restatement").objects.filter(symbol=models.OuterRef("pk"))
        newest = restatements.order_by("-restated_at", "-pk")[:count]
        listed = ArraySubquery(newest.values(restatement=JSONObject(**{name: name for name in columns})))
        return self.annotate(newest_restatements=Func(listed, function="to_jsonb", output_field=models.JSONField()))  # type: ignore[no-redef]  # the plugin

    def with_active_version(self) -> "SymbolQuerySet":
        """Adds `version_id`, `version_number` and `trained_at` of the active version; None without one."""
        serving = models.FilteredRelation("versions", condition=Q(versions__state="active"))
        return self.annotate(
            serving=serving,
            version_id=F("serving__pk"),
            version_number=F("serving__number"),
            trained_at=F("serving__trained_at"),
        )

    def with_newest_forecast(self) -> "SymbolQuerySet":
        """Adds `forecast_id`, `forecast_price`, `forecast_change` (percent of the last close) and `forecast_target` (a date)."""
        forecasts = apps.get_model("forecasting.Forecast").objects.filter(symbol=models.OuterRef("pk"), horizon=1)
        forecasts = forecasts.order_by("-as_of", "-pk")
        change = models.ExpressionWrapper(100 * (F("price") / F("last_close") - 1), output_field=models.FloatField())
        return self.annotate(
            forecast_id=models.Subquery(forecasts.values("pk")[:1]),
            forecast_price=models.Subquery(forecasts.values("price")[:1]),
            forecast_change=models.Subquery(forecasts.values(change=change)[:1]),
            forecast_target=models.Subquery(forecasts.values("target_date")[:1]),
        )

    def with_live_record(self) -> "SymbolQuerySet":
        """Adds `live`, the track record of all versions together; None before the first score. See
        `ScoreQuerySet.track_record_with_squares`."""
        record = apps.get_model("forecasting.Score").objects.filter(symbol=models.OuterRef("pk")).track_record_with_squares()
        names = ("forecasts", "coverage", "pinball_ratio", *SQUARED)
        return self.annotate(live=models.Subquery(record.values(record=JSONObject(**{name: name for name in names}))))  # type: ignore[no-redef]  # the plugin

    def ensure_leads(self, tickers: Iterable[str]) -> None:
        """Creates those of these symbols that do not exist, without following them."""
        missing = sorted({*tickers} - {*self.by_ticker(tickers)})
        self.bulk_create([Symbol(ticker=each, followed=False) for each in missing], ignore_conflicts=True)

    def follow(self) -> int:
        """From now on these symbols are forecast, if the price source knows them. Returns how many were not."""
        return self.known().filter(followed=False).update(followed=True)

    def lift_pin(self, *, of: "Symbol | None") -> bool:
        """Unpins the pinned version of this symbol; returns whether there was one. The caller has locked its versions."""
        return bool(of and self.filter(pk=of.pk, pinned_version__isnull=False).update(pinned_version=None))

    def ensure(self, tickers: Sequence[str]) -> "list[Symbol]":
        """The symbols of these tickers in the given order; missing ones are created. Only for tickers that have prices.

        One query, or four if any is missing.
        """
        known = self.by_ticker(tickers)
        if missing := sorted({*tickers} - {*known}):  # sorted, so that two callers cannot deadlock
            self.bulk_create([Symbol(ticker=each) for each in missing], ignore_conflicts=True)
            RequestedName.objects.named(missing).delete()
            known |= self.by_ticker(missing)
        return [known[ticker] for ticker in tickers]


class Symbol(models.Model):
    """A ticker of which a price source had prices, its exchange, and the source's last answer for it."""

    ticker = models.CharField("symbol", max_length=24, unique=True)
    exchange = models.CharField(  # noqa: DJ001  # an empty string would be an exchange code
        max_length=12,
        null=True,
        blank=True,
        help_text="Market identifier code, 24/7, 24/5, or the trading days of an unknown market; null before the first bars.",
    )
    currency = models.CharField(max_length=8, blank=True)
    instrument = models.CharField(  # noqa: DJ001  # an empty string would be an answer of the source
        max_length=16,
        null=True,
        blank=True,
        help_text="What the price source calls it, such as EQUITY, ETF or INDEX; null if it does not say.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    synced_at = models.DateTimeField(null=True, blank=True, help_text="When the bars were last up to date.")
    upstream_state = models.CharField(max_length=16, choices=UpstreamState, default=UpstreamState.NEVER_ASKED)
    upstream_reason = models.TextField(blank=True)
    upstream_checked_at = models.DateTimeField(null=True, blank=True)
    unknown_answers = models.PositiveSmallIntegerField(default=0, help_text="Consecutive unknown-symbol answers of the source.")
    unknown_until = models.DateTimeField(null=True, blank=True, help_text="The source is not asked again before this time.")
    removed_at = models.DateTimeField(null=True, blank=True, help_text="When an operator took it out of service.")
    followed = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Whether it is forecast. If not, only its prices are kept, for forecasts of others.",
    )
    paused_at = models.DateTimeField(null=True, blank=True, help_text="Since when the daily job does not request its retraining.")
    paused_by = models.CharField(max_length=200, blank=True, db_default="", help_text="Who paused it; empty if nobody did.")
    pinned_version = models.ForeignKey(
        "forecasting.ModelVersion",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The version that stays active: new ones do not replace it.",
    )

    last_date: date | None = None  # set by `with_last_bar`
    live: dict[str, float] | None = None  # set by `with_live_record`
    newest_restatements: Sequence[dict[str, Any]]  # set by `with_newest_restatements`
    own_version: "ModelVersion | None" = None  # set by `STATUSES`
    active_training: "Training | None" = None  # set by `STATUSES`

    # Set by `STANDING`: what stands for it, by its active version or else by the active base.
    as_of: date  # the session of its newest bar
    is_trained: bool  # whether it has a version of its own
    newest_training: "Training | None"  # if it has not
    last_quote: "Quote | None"
    bar_close: float
    rescaled_id: int | None
    close_id: int
    close_issued_at: datetime
    lead_id: int | None
    live_id: int | None  # the newest one
    live_quarter: datetime | None

    objects = SymbolQuerySet.as_manager()

    class Meta:
        default_permissions = ("view", "change")  # change: to run its actions
        ordering = ["ticker"]
        constraints = [
            models.CheckConstraint(condition=Q(ticker__regex=f"^{TICKER}$"), name="symbol_ticker_pattern"),
            models.CheckConstraint(condition=Q(ticker=Upper("ticker")), name="symbol_ticker_upper_case"),
            models.CheckConstraint(condition=Q(upstream_state__in=UpstreamState.values), name="symbol_upstream_state_known"),
        ]

    def __str__(self) -> str:
        return self.ticker

    @property
    def calendar(self) -> str:
        """The exchange whose sessions the symbol has. Before the first bars, it is derived from the ticker."""
        return self.exchange or exchange_of(self.ticker)

    @property
    def rate_class(self) -> str | None:
        """The class of symbols with which it shares a base rate of rising days; None if it has none."""
        return rate_class(self.ticker, exchange=self.calendar, instrument=self.instrument or "")

    @property
    def is_in_service(self) -> bool:
        """Whether it is stored, and no operator took it out of service."""
        return self.pk is not None and self.removed_at is None

    def is_unknown(self, *, now: datetime) -> bool:
        """Whether the price source has reported the symbol as unknown, and that answer has not expired."""
        return self.unknown_until is not None and now < self.unknown_until

    def was_unknown(self, *, now: datetime) -> bool:
        """Like `is_unknown`, and also true for an unknown symbol whose answer has no expiry (a source on this machine)."""
        never_expires = self.upstream_state == UpstreamState.UNKNOWN and self.unknown_until is None
        return never_expires or self.is_unknown(now=now)
