"""How long an answer of `predict` stands, for caches."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings

from forecasting import live
from forecasting.models.forecasts import Basis
from forecasting.prices.calendars import bar_due
from forecasting.prices.leads import lead_window
from forecasting.serving import Prediction

SOON = 60  # seconds until an answer may change at any time: a training ends, or late prices arrive


def seconds_of_validity(predictions: Iterable[Prediction], *, now: datetime) -> int:
    """How long this answer stands: until another price may be had, until other markets may be known, until the first of its target
    sessions has its bar, or for SOON
    if any part is provisional."""
    return min(_seconds(each, now=now) for each in predictions)


def _seconds(prediction: Prediction, *, now: datetime) -> int:
    forecast, session = prediction.forecast, prediction.session
    if forecast is None or prediction.stale:
        return SOON
    if session and live.is_under_way(prediction.symbol, session.hours):
        age = now - session.asked_at if session.asked_at else timedelta(seconds=settings.QUOTE_MAX_AGE_SECONDS)
        left = min(timedelta(seconds=settings.QUOTE_MAX_AGE_SECONDS) - age, session.hours.closes - now)
        return max(0, int(left.total_seconds()))
    if forecast.version.kind == "base":
        return SOON
    opens = session.hours.opens if session else None
    ends = opens if opens and now < opens else bar_due(forecast.symbol.calendar, forecast.target_date)
    if forecast.basis == Basis.CLOSE and ends == opens and (window := lead_window(forecast.symbol.calendar, forecast.as_of)):
        ends = min(ends, window.known_until)  # from then on a better forecast may come at any time
    return max(SOON, int((ends - now).total_seconds()))
