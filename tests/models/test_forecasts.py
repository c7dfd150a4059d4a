"""The ledger's rows: immutable and consistent."""

import math
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from forecasting.models import Forecast
from tests.factories import make_forecast, make_symbol, make_version
from tests.models.refusals import refused_by

pytestmark = pytest.mark.django_db

MONDAY = date(2025, 6, 2)


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"target_date": MONDAY}, "forecast_target_is_later"),
        ({"price": 0.0}, "forecast_prices_positive"),
        ({"last_close": -1.0}, "forecast_prices_positive"),
        ({"interval_low": 104.0}, "forecast_interval_ordered"),
        ({"probability_up": 1.01}, "forecast_probability_is_a_fraction"),
        ({"probability_up": math.nan}, "forecast_probability_is_a_fraction"),
    ],
)
def test_a_forecast_that_contradicts_itself_is_refused(wrong: dict[str, Any], constraint: str) -> None:
    version = make_version(make_symbol())
    with refused_by(constraint):
        make_forecast(version, MONDAY, **wrong)


def test_a_version_forecasts_a_session_once_for_each_symbol() -> None:
    base = make_version(None)
    symbols = make_symbol("SAMPLE1"), make_symbol("SAMPLE2")
    for symbol in symbols:
        make_forecast(base, MONDAY, symbol=symbol)
    with refused_by("forecast_one_per_version_and_session"):
        make_forecast(base, MONDAY, symbol=symbols[0])


@pytest.mark.parametrize(
    "change",
    [
        {"price": 101.5},
        {"last_close": 99.0},
        {"quantiles": {"0.5": 101.5}},
        {"interval_low": 90.0},
        {"probability_up": 0.1},
        {"target_date": date(2025, 7, 1)},
        {"as_of": date(2025, 5, 1)},
        {"issued_at": timezone.now() - timedelta(days=1)},
        {"spread_factor": 1.5},
        {"restatement": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_served_forecast_cannot_be_changed(change: dict[str, Any]) -> None:
    forecast = make_forecast(make_version(make_symbol()), MONDAY)
    with pytest.raises(IntegrityError, match="was served and cannot be changed"), transaction.atomic():
        Forecast.objects.filter(pk=forecast.pk).update(**change)


def test_a_version_that_has_forecast_cannot_be_deleted() -> None:
    version = make_version(make_symbol())
    make_forecast(version, MONDAY)
    with pytest.raises(ProtectedError):
        version.delete()


def test_the_change_is_in_percent_of_the_last_close() -> None:
    forecast = make_forecast(make_version(make_symbol()), MONDAY, last_close=200.0, price=101.0)
    assert forecast.change_percent == pytest.approx(-49.5)
