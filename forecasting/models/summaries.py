"""Figures of the whole ledger that would take too long to count at each scrape; a task keeps them up to date."""

from django.db import models


class Summary(models.Model):
    """The newest figures: a single row."""

    computed_at = models.DateTimeField()
    newest_forecast = models.BigIntegerField(help_text="The figures of the ledger are of forecasts and scores up to these.")
    newest_score = models.BigIntegerField()
    issued = models.JSONField(help_text="Forecasts by basis.")
    scored = models.JSONField(help_text="Scored forecasts by basis.")
    records = models.JSONField(help_text="Coverage and pinball ratio of each exchange's last sessions.")
    bars = models.JSONField(help_text="Symbols, those behind the others, and the newest bar of each exchange.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.computed_at}"
