"""Scores: forecasts compared with the actual close. A new score is added each time the source corrects that close."""

import math
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Avg, Case, Count, ExpressionWrapper, F, Q, Sum, Value, When
from django.db.models.functions import Abs, Greatest, Now, NullIf, Sqrt

from forecasting.models.forecasts import INFINITY, Basis, Forecast
from forecasting.models.symbols import Symbol
from forecasting.models.versions import ModelVersion
from forecasting.pipeline.evaluation.uncertainty import FEWEST, LIKELY


class ScoreReason(models.TextChoices):
    """Why a score was appended."""

    FIRST = "first", "first"
    MOVED = "session_moved", "session moved"
    CORRECTED = "corrected", "corrected"


RECORD = {
    "forecasts": Count("*"),
    "mae": Avg("absolute_error"),
    "naive_mae": Avg("naive_absolute_error"),
    "coverage": Avg(Case(When(inside_interval=True, then=Value(1.0)), default=Value(0.0))),
}
JUDGED = Q(pinball_loss__isnull=False, reference_pinball_loss__isnull=False)
SUMS = {
    "forecasts": Count("*"),
    "errors": Sum("absolute_error"),
    "naive_errors": Sum("naive_absolute_error"),
    "inside": Count("inside_interval", filter=Q(inside_interval=True)),
    "losses": Sum("pinball_loss", filter=JUDGED),
    "reference_losses": Sum("reference_pinball_loss", filter=JUDGED),
    "brier_scores": Sum("brier_score"),
    "brier_forecasts": Count("brier_score"),  # those with such a score
}
LOSS, REFERENCE = F("pinball_loss"), F("reference_pinball_loss")
RATIO = Sum(LOSS, filter=JUDGED) / NullIf(Sum(REFERENCE, filter=JUDGED), 0.0)
# What the standard error of the ratio of two sums needs.
SQUARES = {
    "judged": Count("pinball_loss", filter=JUDGED),
    "reference": Sum(REFERENCE, filter=JUDGED),
    "loss_squared": Sum(LOSS * LOSS, filter=JUDGED),
    "loss_times_reference": Sum(LOSS * REFERENCE, filter=JUDGED),
    "reference_squared": Sum(REFERENCE * REFERENCE, filter=JUDGED),
}


def _real(expression: Any) -> "ExpressionWrapper[Any]":
    return ExpressionWrapper(expression, output_field=models.FloatField())


def _with_surplus(records: "models.QuerySet[Any, Any]", surplus: Any) -> "models.QuerySet[Any, Any]":
    """The keys of the symbols whose record has a positive `surplus`."""
    keys: models.QuerySet[Any, Any] = records.annotate(surplus=_real(surplus)).filter(surplus__gt=0).values("symbol_id")
    return keys


class ScoreQuerySet(models.QuerySet["Score"]):
    """Reads of scores."""

    def of(self, symbols: Iterable[Symbol]) -> "ScoreQuerySet":
        """Scores of these symbols' forecasts."""
        return self.filter(symbol__in=list(symbols))

    def sums(self) -> "models.QuerySet[Any, Any]":
        """One row per symbol, horizon, basis and part of the session over its scored forecasts: counts and sums, see SUMS."""
        kinds = ("symbol_id", "horizon", "basis", "part")
        rows: models.QuerySet[Any, Any] = self.filter(latest=True).order_by(*kinds).values(*kinds).annotate(**SUMS)
        return rows

    def track_record(self) -> "models.QuerySet[Any, Any]":
        """One row per symbol over its scored forecasts of the next close, made from its own bars.

        `forecasts`, `mae` and `naive_mae` (price), `coverage` (share inside).
        """
        return self._of_next_close().order_by("symbol_id").values("symbol_id").annotate(**RECORD)

    def track_record_with_squares(self, *, errors: bool = False) -> "models.QuerySet[Any, Any]":
        """The same with `pinball_ratio`, and what its standard error needs (SQUARES); `mae` and `naive_mae` only with `errors`."""
        names = ("forecasts", "coverage", *(("mae", "naive_mae") if errors else ()))
        record = {name: RECORD[name] for name in names} | {"pinball_ratio": RATIO} | SQUARES
        return self._of_next_close().order_by("symbol_id").values("symbol_id").annotate(**record)

    def off_in_coverage(self, *, promised: float) -> "models.QuerySet[Any, Any]":
        """The keys of symbols whose coverage is further from the promised one than chance makes plausible.

        The same rule as `deviation_of_share`, in the database.
        """
        chance = LIKELY * math.sqrt(promised * (1 - promised)) / Sqrt(F("forecasts")) + 0.5 / F("forecasts")
        deviation = Abs(F("coverage") - promised)
        return _with_surplus(self.track_record(), deviation - chance)

    def above_reference(self) -> "models.QuerySet[Any, Any]":
        """The keys of symbols whose quantile loss exceeds the reference's by more than chance makes plausible.

        The same rule as `excess_of_ratio`, in the database.
        """
        ratio, judged = F("pinball_ratio"), F("judged")
        residual = F("loss_squared") - 2.0 * ratio * F("loss_times_reference") + ratio * ratio * F("reference_squared")
        variance = Greatest(_real(residual), 0.0) * judged / Greatest(judged - 1, 1)
        chance = LIKELY * Sqrt(_real(variance)) / NullIf(F("reference"), 0.0)
        return _with_surplus(self.track_record_with_squares().filter(judged__gte=FEWEST), ratio - 1.0 - chance)

    def days(self, *, basis: str, horizon: int) -> "models.QuerySet[Any, Any]":
        """One row per session, the newest first: `actual_date`, `count` of scored forecasts, and how many closes were `inside`."""
        counts = {"count": Count("*"), "inside": Count("inside_interval", filter=Q(inside_interval=True))}
        chosen = self.filter(latest=True, horizon=horizon, basis=basis)
        return chosen.order_by("-actual_date").values("actual_date").annotate(**counts)

    def by_session(self, *, since: Any) -> "models.QuerySet[Any, Any]":
        """One row per exchange and scored session after the time `since`, in ascending order: counts and sums, see SUMS."""
        kinds = ("exchange", "actual_date")
        named = self._of_next_close().filter(actual_date__gt=since).annotate(exchange=F("symbol__exchange"))
        rows: models.QuerySet[Any, Any] = named.order_by(*kinds).values(*kinds).annotate(**SUMS)
        return rows

    def _of_next_close(self) -> "ScoreQuerySet":
        return self.filter(latest=True, horizon=1, basis=Basis.CLOSE)


class Score(models.Model):
    """One score of one forecast, in the forecast's own prices. A trigger allows one change only: `latest` from true to false.

    Symbol, version, horizon and basis are copied from the forecast, which never changes, so one index serves a track record. With
    a join, five symbols in a ledger of 300,000 forecasts took 40 ms.
    """

    forecast = models.ForeignKey(Forecast, on_delete=models.PROTECT, related_name="scores")
    symbol = models.ForeignKey(Symbol, on_delete=models.PROTECT, related_name="+", db_index=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+", db_index=False)
    horizon = models.PositiveSmallIntegerField(default=1, db_default=1)
    basis = models.CharField(max_length=5, choices=Basis, default=Basis.CLOSE, db_default=Basis.CLOSE)
    part = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Part of the session in which it was forecast, from 0; empty if that was before it opened."
    )
    actual_date = models.DateField(help_text="The scored session: a later one if the target session did not take place.")
    actual_close = models.FloatField(help_text="On the forecast's price scale: later splits and dividends are removed.")
    absolute_error = models.FloatField()
    naive_absolute_error = models.FloatField(help_text="Absolute error of the last close.")
    inside_interval = models.BooleanField()
    pinball_loss = models.FloatField(null=True, blank=True, help_text="Mean over the quantiles, in log returns.")
    reference_pinball_loss = models.FloatField(null=True, blank=True, help_text="The same of the reference forecast.")
    brier_score = models.FloatField(
        null=True,
        blank=True,
        help_text="Of the probability of a rise; empty if that was 0.5, whose score is 0.25, or if the close did not move.",
    )
    reason = models.CharField(max_length=16, choices=ScoreReason)
    scored_at = models.DateTimeField(db_default=Now())
    latest = models.BooleanField(default=True, help_text="Whether this is the forecast's current score.")

    objects = ScoreQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["forecast"], condition=Q(latest=True), name="score_one_latest"),
            models.CheckConstraint(condition=Q(reason__in=ScoreReason.values), name="score_reason_known"),
            models.CheckConstraint(condition=Q(actual_close__gt=0, actual_close__lt=INFINITY), name="score_close_positive"),
            models.CheckConstraint(
                condition=Q(absolute_error__gte=0, absolute_error__lt=INFINITY)
                & Q(naive_absolute_error__gte=0, naive_absolute_error__lt=INFINITY),
                name="score_errors_not_negative",
            ),
        ]
        indexes = [
            models.Index(
                fields=["symbol", "horizon", "basis", "version"],
                include=[
                    *("absolute_error", "naive_absolute_error", "inside_interval"),
                    *("pinball_loss", "reference_pinball_loss"),
                ],
                condition=Q(latest=True),
                name="score_record",
            ),
            models.Index(
                fields=["horizon", "basis", "actual_date"],
                include=["symbol", "inside_interval"],
                condition=Q(latest=True),
                name="score_days",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.forecast_id} {self.actual_date}"
