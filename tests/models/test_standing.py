"""Rows that a process keeps in memory are those of the ledger."""

import gc
import weakref
from datetime import date, timedelta

import pytest

from forecasting.models.forecasts import Basis
from forecasting.models.standing import STANDING, Identity, kept
from tests.factories import add_bar, add_bars, make_forecast, make_symbol, make_version

pytestmark = pytest.mark.django_db

MONDAY, TUESDAY = date(2025, 6, 2), date(2025, 6, 3)


def asked() -> Identity:
    (symbol,) = STANDING.rows(["SAMPLE1"])
    return Identity.of(symbol, Basis.CLOSE, symbol.close_id)


def test_after_a_restored_backup_a_key_may_belong_to_another_row() -> None:
    add_bars(symbol := make_symbol(), count=3, end=MONDAY)
    forecast = make_forecast(make_version(symbol), MONDAY)
    before = asked()
    assert kept([before])[forecast.pk].price == forecast.price
    type(forecast).objects.filter(pk=forecast.pk)._raw_delete("default")
    forecast.price, forecast.issued_at = 105.0, forecast.issued_at + timedelta(minutes=1)
    forecast.save(force_insert=True)
    assert kept([asked()])[forecast.pk].price == 105.0


def test_a_row_is_loaded_once_until_its_currency_is_corrected() -> None:
    add_bars(symbol := make_symbol(currency="GBP"), count=3, end=MONDAY)
    make_forecast(make_version(symbol), MONDAY)
    (first,) = kept([asked()]).values()
    (again,) = kept([asked()]).values()
    assert again is first
    symbol.currency = "GBp"
    symbol.save()
    (corrected,) = kept([asked()]).values()
    assert (first.symbol.currency, corrected.symbol.currency) == ("GBP", "GBp")


def test_of_a_symbol_only_the_forecast_that_stands_stays_in_memory() -> None:
    add_bars(symbol := make_symbol(), count=3, end=MONDAY)
    version = make_version(symbol)
    make_forecast(version, MONDAY)
    (mondays,) = map(weakref.ref, kept([asked()]).values())
    assert mondays()
    add_bar(symbol, TUESDAY, 100.0)
    make_forecast(version, TUESDAY)
    kept([asked()])
    gc.collect()
    assert mondays() is None
