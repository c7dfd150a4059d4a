"""Stored bars as frames of the bars contract, and staleness."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from django.utils.module_loading import import_string
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting import market
from forecasting.models import Symbol
from forecasting.prices.bars import empty
from forecasting.prices.catalogue import SOURCES
from tests.factories import add_bars, make_symbol
from tests.market.histories import FRIDAY, NOW

pytestmark = pytest.mark.django_db


def test_recent_bars_are_the_last_ones_of_each_symbol(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(5)]
    for symbol in symbols[1:]:
        add_bars(symbol, count=20, seed=symbol.pk)
    with django_assert_num_queries(1):
        recent = market.recent_bars(symbols, count=7)
    pd.testing.assert_frame_equal(recent[symbols[0].pk], empty())
    for symbol in symbols[1:]:
        pd.testing.assert_frame_equal(recent[symbol.pk], market.bars(symbol)[-7:], check_exact=True)


def test_recent_bars_of_no_symbol_are_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        assert market.recent_bars([], count=7) == {}


def test_bars_of_a_symbol_without_any_are_an_empty_frame_of_the_contract() -> None:
    pd.testing.assert_frame_equal(market.bars(make_symbol()), empty())


@pytest.mark.parametrize(
    ("last_bar", "now", "stale"),
    [
        (None, NOW, True),
        (date(2024, 6, 27), NOW, True),
        (FRIDAY, NOW, False),
        (date(2024, 6, 27), NOW.replace(hour=15), False),
        (FRIDAY, NOW + timedelta(days=2), False),
        (FRIDAY, NOW + timedelta(days=3), True),
    ],
    ids=["no bar", "a session behind", "up to date", "session under way", "weekend", "after the weekend"],
)
def test_bars_are_stale_when_a_completed_session_is_missing(last_bar: date | None, now: datetime, stale: bool) -> None:
    assert market.is_stale(Symbol(ticker="AAA", exchange="XNYS"), last_bar, now=now) is stale


@pytest.mark.parametrize("name", SOURCES)
def test_the_source_is_the_configured_one(settings: Settings, tmp_path: Path, name: str) -> None:
    settings.PRICE_SOURCE, settings.STATE_DIR = name, tmp_path
    assert isinstance(market.price_source(), import_string(SOURCES[name].path))
