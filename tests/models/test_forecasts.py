"""The ledger's rows: immutable and consistent."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from forecasting.models import Forecast
from forecasting.models.forecasts import Basis
from tests.factories import make_forecast, make_symbol, make_version
from tests.models.refusals import refused_by

pytestmark = pytest.mark.django_db

MONDAY = date(2025, 6, 2)
BEFORE_OPEN = datetime(2025, 6, 3, 12, 0, tzinfo=UTC)
ISSUED = BEFORE_OPEN + timedelta(minutes=1)
LEADS = [{"symbol": "SAMPLE2", "session": "2025-06-02", "percentage": 0.8}]
OF_LEADS: dict[str, Any] = {
    "basis": Basis.LEAD,
    "leads": LEADS,
    "known_until": BEFORE_OPEN,
    "target_opens": BEFORE_OPEN + timedelta(hours=1),
    "issued_at": ISSUED,
}


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"target_date": MONDAY}, "forecast_target_is_later"),
        ({"price": 0.0}, "forecast_prices_positive"),
        ({"last_close": -1.0}, "forecast_prices_positive"),
        ({"interval_low": 104.0}, "forecast_interval_ordered"),
        ({"probability_up": 1.01}, "forecast_probability_is_a_fraction"),
        ({"probability_up": math.nan}, "forecast_probability_is_a_fraction"),
        ({"horizon": 0}, "forecast_horizon_positive"),
        ({"known_until": BEFORE_OPEN}, "forecast_knows_the_past_only"),
        ({"leads": LEADS}, "forecast_knows_the_past_only"),
        ({"basis": Basis.LEAD, "leads": LEADS, "known_until": BEFORE_OPEN}, "forecast_knows_the_past_only"),
        (OF_LEADS | {"leads": None}, "forecast_knows_the_past_only"),
        (OF_LEADS | {"horizon": 5}, "forecast_knows_the_past_only"),
        (OF_LEADS | {"known_until": ISSUED + timedelta(seconds=1)}, "forecast_knows_the_past_only"),
        (OF_LEADS | {"target_opens": ISSUED}, "forecast_knows_the_past_only"),
    ],
)
def test_a_forecast_that_contradicts_itself_is_refused(wrong: dict[str, Any], constraint: str) -> None:
    version = make_version(make_symbol())
    with refused_by(constraint):
        make_forecast(version, MONDAY, **wrong)


def test_a_forecast_that_knows_leads_is_issued_after_them_and_before_the_session() -> None:
    make_forecast(make_version(make_symbol()), MONDAY, **OF_LEADS)


def test_a_version_forecasts_each_horizon_and_basis_of_a_session() -> None:
    version = make_version(make_symbol())
    for values in ({}, {"horizon": 5}, {"horizon": 21}, OF_LEADS):
        make_forecast(version, MONDAY, **values)
    assert [each.horizon for each in Forecast.objects.of_next_close()] == [1]
    with refused_by("forecast_one_per_version_and_session"):
        make_forecast(version, MONDAY, **OF_LEADS)


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
        {"horizon": 5},
        {"leads": LEADS},
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
