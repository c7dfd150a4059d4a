"""A symbol whose model and bars make forecasts that a test can calculate by hand."""

from datetime import date, timedelta
from math import exp
from pathlib import Path
from typing import Any

from django.conf import settings

from forecasting import registry
from forecasting.models import ModelVersion, PriceBar, Symbol
from forecasting.models.trainings import TrainingState
from forecasting.prices.calendars import sessions
from tests.factories import make_training
from tests.small_model import BARS_NEEDED, trained_model

VOLATILITY = 0.01  # of `add_steady_bars`, log return per session


def add_steady_bars(symbol: Symbol, *, end: date, last_close: float = 100.0, count: int = BARS_NEEDED) -> None:
    """Bars whose close alternately rises and falls by 1 % (log), so their volatility is 1 % by any formula."""
    days = sessions(symbol.calendar, first=end - timedelta(days=2 * count), last=end)[-count:]
    closes = [last_close * (exp(-VOLATILITY) if lag % 2 else 1.0) for lag in reversed(range(count))]
    PriceBar.objects.bulk_create(
        PriceBar(symbol=symbol, date=day.date(), open=close, high=close, low=close, close=close, volume=1e6)
        for day, close in zip(days, closes, strict=True)
    )


def serve(symbol: Symbol, **values: Any) -> ModelVersion:
    """Publishes the small model as the symbol's next version, then updates its row with `values`."""
    training = make_training(symbol, state=TrainingState.RUNNING)
    version = registry.publish(trained_model(symbol=symbol.ticker), training_id=training.pk, fence=training.fence)
    ModelVersion.objects.filter(pk=version.pk).update(**values)
    version.refresh_from_db()
    return version


def file_of(version: ModelVersion, name: str) -> Path:
    """Path of a file of the version."""
    return Path(settings.MEDIA_ROOT) / "models" / version.folder / name
