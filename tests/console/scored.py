"""Scored forecasts of many sessions for tests of the home."""

from datetime import date, timedelta

from forecasting.models import ModelVersion, Score
from tests.factories import make_forecast, make_score

INSIDE, OUTSIDE = 101.0, 110.0
LAST = date(2025, 6, 3)  # a Tuesday


def score_days(version: ModelVersion, insides: list[bool], *, ratio: float = 1.0, **values: object) -> list[Score]:
    """One forecast for each day up to LAST, whose close was inside the interval or not, and whose loss is `ratio` references."""
    days = [LAST - timedelta(days=back) for back in reversed(range(len(insides)))]
    return [
        make_score(
            make_forecast(version, day - timedelta(days=1), target_date=day, **values),
            INSIDE if inside else OUTSIDE,
            pinball_loss=0.01 * ratio * (1 + 0.1 * (-1) ** place),
            reference_pinball_loss=0.01,
        )
        for place, (day, inside) in enumerate(zip(days, insides, strict=True))
    ]
