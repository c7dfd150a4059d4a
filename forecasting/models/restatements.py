"""Restatements: where a price source changed bars that were stored, by a split, a dividend or a correction."""

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
    """Reads of restatements. Those of one symbol commit in the order of their keys: its histories are written one at a time."""

    def last_of(self, symbol: Symbol) -> "Restatement | None":
        """The newest of the symbol's bars."""
        return self.filter(symbol=symbol).order_by("-pk").first()

    def last_by_symbol(self, symbols: Iterable[Symbol]) -> dict[int, int]:
        """The key of the newest of each symbol that has any, by the symbol's key."""
        newest = self.filter(symbol__in=list(symbols)).order_by("symbol").values_list("symbol").annotate(Max("pk"))
        return dict(newest)


class Restatement(models.Model):
    """One change of bars that were stored: a rescaling of all before a session, or a correction of some."""

    symbol = models.ForeignKey(Symbol, on_delete=models.CASCADE, related_name="restatements")
    reason = models.CharField(max_length=12, choices=RestatementReason)
    date = models.DateField(
        help_text="Of a split or dividend: the first session after the bars that it rescaled. Of a correction: its first session."
    )
    ratio = models.FloatField(
        null=True, blank=True, help_text="New price divided by the old one; empty where a session came or went."
    )
    bars_changed = models.PositiveIntegerField(help_text="Of those that were stored.")
    matters = models.BooleanField(
        default=True, db_default=True, help_text="Whether models that were trained on the bars before are trained again."
    )
    restated_at = models.DateTimeField(db_default=Now())

    objects = RestatementQuerySet.as_manager()

    class Meta:
        ordering = ["-restated_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(reason__in=RestatementReason.values), name="restatement_reason_known"),
            models.CheckConstraint(condition=Q(ratio__isnull=True) | Q(ratio__gt=0), name="restatement_ratio_positive"),
        ]
        indexes = [models.Index(fields=["symbol", "-restated_at"], name="restatement_newest")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.reason} {self.date}"
