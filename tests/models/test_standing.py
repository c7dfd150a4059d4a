"""Rows that a process keeps in memory are those of the ledger."""

from datetime import date, timedelta

import pytest

from forecasting.models.standing import STANDING, Identity, kept
from tests.factories import add_bars, make_forecast, make_symbol, make_version

pytestmark = pytest.mark.django_db

MONDAY = date(2025, 6, 2)


def asked() -> Identity:
    (symbol,) = STANDING.rows(["SAMPLE1"])
    return Identity(symbol.close_id, symbol.close_issued_at, symbol.currency)


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
