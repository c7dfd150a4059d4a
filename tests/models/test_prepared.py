"""Prepared statements give the rows that the ORM would give."""

from datetime import date
from typing import Any

import pytest
from django.db import connection, models

from forecasting.models import Forecast, ModelVersion, Symbol
from forecasting.models.standing import FORECASTS, STANDING
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import SERVING, STATUSES, VersionState
from tests.factories import add_bars, make_forecast, make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

FRIDAY, MONDAY = date(2025, 5, 30), date(2025, 6, 2)


def followed(ticker: str) -> Symbol:
    """A symbol whose newest bar is Monday's."""
    symbol = make_symbol(ticker)
    add_bars(symbol, count=3, end=MONDAY)
    return symbol


def loaded(row: models.Model) -> dict[str, Any]:
    """The columns that were read."""
    return {name: value for name, value in vars(row).items() if name in {field.attname for field in row._meta.concrete_fields}}


def assert_equals_the_stored(row: models.Model) -> None:
    stored = vars(type(row)._default_manager.get(pk=row.pk))
    assert loaded(row).items() <= stored.items()


def test_a_symbol_comes_with_the_key_of_its_forecast_from_the_newest_bar() -> None:
    forecast = make_forecast(make_version(followed("SAMPLE1")), MONDAY)
    (symbol,) = STANDING.rows(["SAMPLE1", "SAMPLE2"])
    assert_equals_the_stored(symbol)
    assert (symbol, symbol.close_id, symbol.as_of, symbol.is_trained) == (forecast.symbol, forecast.pk, MONDAY, True)
    assert (symbol.lead_id, symbol.live_id, symbol.last_quote, symbol.newest_training) == (None, None, None, None)


def test_a_forecast_comes_with_its_symbol_and_version() -> None:
    expected = make_forecast(make_version(followed("SAMPLE1")), MONDAY)
    (forecast,) = FORECASTS.rows([expected.pk])
    assert forecast == expected
    for row in (forecast, forecast.symbol):
        assert len(loaded(row)) > 3
        assert_equals_the_stored(row)
    assert forecast.version == expected.version
    assert forecast.version.skill == expected.version.skill


def test_no_forecast_stands_from_an_older_bar_or_by_a_retired_version() -> None:
    symbol = followed("SAMPLE1")
    make_forecast(make_version(symbol), FRIDAY)
    make_forecast(make_version(symbol, number=2, state=VersionState.RETIRED), MONDAY)
    assert list(STANDING.rows(["SAMPLE1"])) == []


def test_the_base_stands_in_for_symbols_without_an_active_version_of_their_own() -> None:
    base, with_own, without = make_version(None), followed("SAMPLE1"), followed("SAMPLE2")
    make_version(with_own)
    make_version(without, state=VersionState.RETIRED)
    theirs = {symbol: make_forecast(base, MONDAY, symbol=symbol) for symbol in (with_own, without)}
    (symbol,) = STANDING.rows(["SAMPLE1", "SAMPLE2"])
    assert (symbol, symbol.close_id, symbol.is_trained) == (without, theirs[without].pk, False)


def test_a_symbol_that_the_base_serves_comes_with_its_newest_training() -> None:
    symbol = followed("SAMPLE1")
    make_forecast(make_version(None), MONDAY, symbol=symbol)
    make_training(symbol, state=TrainingState.FAILED)
    newest = make_training(symbol)
    (found,) = STANDING.rows(["SAMPLE1"])
    assert found.newest_training == newest
    assert found.newest_training
    assert loaded(found.newest_training) == {"id": newest.pk, "state": "queued", "finished_at": None}


def test_serving_versions_are_those_of_the_orm() -> None:
    for ticker in ("SAMPLE1", "SAMPLE2", "SAMPLE3"):
        make_forecast(make_version(make_symbol(ticker)), FRIDAY, actual_close=102.0)
    asked = ["SAMPLE1", "SAMPLE2"]
    found = {version.pk: version for version in SERVING.rows(asked)}
    expected = ModelVersion.objects.active().filter(symbol__ticker__in=asked).with_symbols_sums()
    assert {pk: version.sums for pk, version in found.items()} == {version.pk: version.sums for version in expected}
    for version in found.values():
        assert version.symbol
        assert_equals_the_stored(version)
        assert_equals_the_stored(version.symbol)


@pytest.mark.django_db(transaction=True)
def test_a_new_connection_prepares_the_statement_again() -> None:
    make_forecast(make_version(followed("SAMPLE1")), MONDAY)
    for _ in range(2):
        assert [symbol.close_id for symbol in STANDING.rows(["SAMPLE1"])] == [Forecast.objects.get().pk]
        connection.close()


def test_a_status_has_the_active_version_and_the_active_training() -> None:
    version = make_version(make_symbol("SAMPLE1"))
    make_version(version.symbol, number=2, state=VersionState.REJECTED)
    make_training(make_symbol("SAMPLE2"), state=TrainingState.FAILED)
    training = make_training(make_symbol("SAMPLE3"))
    found = {symbol.ticker: symbol for symbol in STATUSES.rows(["SAMPLE1", "SAMPLE2", "SAMPLE3", "SAMPLE4"])}
    assert {ticker: (symbol.own_version, symbol.active_training) for ticker, symbol in found.items()} == {
        "SAMPLE1": (version, None),
        "SAMPLE2": (None, None),
        "SAMPLE3": (None, training),
    }
    for row in (found["SAMPLE1"], found["SAMPLE1"].own_version, found["SAMPLE3"].active_training):
        assert row
        assert_equals_the_stored(row)
