"""Daily bars."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q

if TYPE_CHECKING:
    from forecasting.models.symbols import Symbol


class PriceBarQuerySet(models.QuerySet["PriceBar"]):
    """Reads of bars."""

    def of(self, symbol: "Symbol") -> "PriceBarQuerySet":
        """One symbol's bars, ascending."""
        return self.filter(symbol=symbol).order_by("date")


class PriceBar(models.Model):
    """One completed session of one symbol: prices adjusted for splits and dividends, in the symbol's currency."""

    # No separate index: the index of the unique constraint begins with the symbol.
    symbol = models.ForeignKey("forecasting.Symbol", on_delete=models.CASCADE, related_name="bars", db_index=False)
    date = models.DateField()
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField(help_text="Shares or contracts.")

    objects = PriceBarQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ["symbol", "date"]
        constraints = [
            models.UniqueConstraint(fields=["symbol", "date"], name="bar_one_per_session"),
            models.CheckConstraint(
                condition=Q(low__gt=0) & Q(open__gt=0) & Q(close__gt=0) & Q(high__lt=float("inf")),
                name="bar_prices_positive",
            ),
            models.CheckConstraint(condition=Q(high__gte=F("open")) & Q(high__gte=F("close")), name="bar_high_is_highest"),
            models.CheckConstraint(condition=Q(low__lte=F("open")) & Q(low__lte=F("close")), name="bar_low_is_lowest"),
            models.CheckConstraint(condition=Q(volume__gte=0) & Q(volume__lt=float("inf")), name="bar_volume_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol_id} {self.date}"
