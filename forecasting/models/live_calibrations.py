"""The online calibration of forecasts during the session, by exchange and part of the session."""

from django.db import models
from django.db.models import Q


class LiveCalibration(models.Model):
    """The width of the next forecasts, learned from the outcomes of earlier sessions of all symbols of the exchange."""

    exchange = models.CharField(max_length=12)
    part = models.PositiveSmallIntegerField(help_text="Part of the session, from 0.")
    factor = models.FloatField(help_text="On the distance of each quantile from the median.")
    through = models.DateField(help_text="The last session that it knows.")

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["exchange", "part"], name="live_calibration_one_per_part"),
            models.CheckConstraint(condition=Q(factor__gt=0, factor__lt=float("inf")), name="live_calibration_factor_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.part}"
