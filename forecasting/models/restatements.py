"""Restatements: changes that a price source made to stored bars, by a split, a dividend or a correction."""

from collections.abc import Iterable

from django.db import models
from django.db.models import Max, Q
from django.db.models.functions import Now

from forecasting.models.symbols import Symbol
from forecasting.prices.restatements import Reason


class RestatementReason(models.TextChoices):
    """What changed the bars."""

    SPLIT = Reason.SPLIT.value
    DIVIDEND = Reason.DIVIDEND.value
    UNIT = Reason.UNIT.value
    CORRECTION = Reason.CORRECTION.value


class RestatementQuerySet(models.QuerySet["Restatement"]):
    """Reads of restatements. A symbol's restatements commit in key order, because only one process writes its history at a time."""

    def last_of(self, symbol: Symbol) -> "Restatement | None":
        """The symbol's newest restatement."""
        return self.filter(symbol=symbol).order_by("-pk").first()

    def rescalings(self) -> "RestatementQuerySet":
        """Those that changed all earlier prices, newest first."""
        return self.exclude(reason=RestatementReason.CORRECTION).order_by("-restated_at")

    def last_by_symbol(self, symbols: Iterable[Symbol]) -> dict[int, int]:
        """Maps a symbol's key to the key of its newest restatement; symbols without one are missing."""
        newest = self.filter(symbol__in=list(symbols)).order_by("symbol").values_list("symbol").annotate(Max("pk"))
        return dict(newest)


class Restatement(models.Model):
    """One change of stored bars: a rescaling of all bars before a session, or a correction of some bars."""

    symbol = models.ForeignKey(Symbol, on_delete=models.CASCADE, related_name="restatements")
    reason = models.CharField(max_length=12, choices=RestatementReason)
    date = models.DateField(
        help_text="Split or dividend: the first session after the rescaled bars. Correction: the first corrected session."
    )
    ratio = models.FloatField(
        null=True, blank=True, help_text="New price divided by old price; empty if a session was added or removed."
    )
    bars_changed = models.PositiveIntegerField(help_text="Number of stored bars that changed.")
    matters = models.BooleanField(
        default=True, db_default=True, help_text="Whether models trained on the earlier bars are retrained."
    )
    restated_at = models.DateTimeField(db_default=Now())

    objects = RestatementQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["-restated_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(reason__in=RestatementReason.values), name="restatement_reason_known"),
            models.CheckConstraint(condition=Q(ratio__isnull=True) | Q(ratio__gt=0), name="restatement_ratio_positive"),
        ]
        indexes = [models.Index(fields=["symbol", "-restated_at"], name="restatement_newest")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.reason} {self.date}"
