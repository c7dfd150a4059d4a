"""Quotes: the last known price of each symbol in a session under way. They are no bars, and are overwritten."""

from django.db import models
from django.db.models import Q

from forecasting.models.symbols import Symbol
from forecasting.prices import quotes

COLUMNS = ("session", "time", "price", "open", "high", "low", "volume")


class Quote(models.Model):
    """The last quote of a symbol that could be used, and what became of the last question about it."""

    symbol = models.OneToOneField(Symbol, primary_key=True, on_delete=models.CASCADE, related_name="quote")
    asked_at = models.DateTimeField(help_text="When the price source was last asked for it.")
    problem = models.TextField(blank=True, help_text="Why the last answer was of no use.")
    session = models.DateField(null=True, blank=True, help_text="The session under way at that time; empty without any quote.")
    time = models.DateTimeField(null=True, blank=True, help_text="Of the last trade.")
    price = models.FloatField(null=True, blank=True)
    open = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True, help_text="Of the session until then.")
    low = models.FloatField(null=True, blank=True, help_text="Of the session until then.")
    volume = models.FloatField(null=True, blank=True, help_text="Shares or contracts until then.")

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(**{f"{name}__isnull": True for name in COLUMNS})
                | Q(**{f"{name}__isnull": False for name in COLUMNS}, low__gt=0, low__lte=models.F("price"))
                & Q(high__gte=models.F("price"), high__lt=float("inf")),
                name="quote_complete_and_in_range",
            )
        ]

    def __str__(self) -> str:
        return f"{self.symbol_id} {self.time}"

    @property
    def last(self) -> quotes.Quote | None:
        """The quote; None before the first usable one."""
        if self.session is None:
            return None
        return quotes.Quote(**{name: getattr(self, name) for name in COLUMNS})
