"""Symbols and bars: invalid ones are refused, and valid ones are read in order."""

import math
from datetime import date
from functools import partial
from operator import attrgetter
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from forecasting.models import PriceBar, Symbol
from forecasting.models.symbols import SymbolQuerySet, UpstreamState, ticker_problem
from forecasting.models.versions import VersionState
from tests.factories import add_bars, make_forecast, make_symbol, make_version
from tests.models.refusals import refused_by
from tests.racing import at_once, slow

pytestmark = pytest.mark.django_db

MONDAY = date(2025, 6, 2)
BAR: dict[str, Any] = {"date": MONDAY, "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 1e6}


@pytest.mark.parametrize("ticker", ["", "A B", "PETR4.SA\n", ".SA", "A/B", "A%", "ÄÖ"])
def test_a_symbol_that_breaks_the_pattern_is_refused(ticker: str) -> None:
    with refused_by("symbol_ticker_pattern"):
        make_symbol(ticker)


def test_a_symbol_in_lower_case_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"symbol_ticker_(upper_case|pattern)"):
        make_symbol("aapl")


def test_a_symbol_exists_once() -> None:
    make_symbol("SAMPLE1")
    with pytest.raises(IntegrityError, match="forecasting_symbol_ticker"), transaction.atomic():
        make_symbol("SAMPLE1")


@pytest.mark.parametrize("ticker", ["AAPL", "PETR4.SA", "^BVSP", "BRK-B", "EURUSD=X", "M&M.NS", "0700.HK"])
def test_a_real_symbol_has_no_problem(ticker: str) -> None:
    assert ticker_problem(ticker) is None
    make_symbol(ticker)


@pytest.mark.parametrize("ticker", ["", "AAPL\n", "aapl", "=X", "A" * 25, "BRPETRACNPR6"])
def test_what_cannot_be_a_symbol_is_explained(ticker: str) -> None:
    assert ticker_problem(ticker)


def test_ensure_keeps_the_order_and_adds_what_is_missing() -> None:
    make_symbol("SAMPLE2")
    symbols = Symbol.objects.all().ensure(["SAMPLE3", "SAMPLE2", "PETR4.SA"])
    assert [(each.ticker, each.exchange, each.currency) for each in symbols] == [
        ("SAMPLE3", None, ""),
        ("SAMPLE2", "XNYS", "USD"),
        ("PETR4.SA", None, ""),
    ]


def test_ensure_of_known_symbols_is_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    tickers = [make_symbol(f"SAMPLE{number}").ticker for number in range(1, 6)]
    with django_assert_num_queries(1):
        Symbol.objects.all().ensure(tickers)


@pytest.mark.django_db(transaction=True)
def test_ensure_in_any_order_at_once_makes_each_symbol_once() -> None:
    tickers = [f"SAMPLE{number}" for number in range(1, 6)]
    orders = [tickers, tickers[::-1], tickers[2:] + tickers[:2]]
    with slow("INSERT", Symbol):
        found = at_once([partial(Symbol.objects.all().ensure, order) for order in orders])
    assert [[symbol.ticker for symbol in symbols] for symbols in found] == orders
    assert Symbol.objects.count() == len(tickers)


def test_known_leaves_out_what_the_source_does_not_know() -> None:
    make_symbol("SAMPLE1", upstream_state=UpstreamState.UNKNOWN)
    make_symbol("SAMPLE2", upstream_state=UpstreamState.UNAVAILABLE)
    make_symbol("SAMPLE3")
    assert [symbol.ticker for symbol in Symbol.objects.all().known()] == ["SAMPLE2", "SAMPLE3"]


def test_leads_are_not_followed_until_somebody_asks_for_them() -> None:
    make_symbol("SAMPLE1")
    for _ in range(2):
        Symbol.objects.all().ensure_leads(["SAMPLE1", "SAMPLE2", "SAMPLE3"])
    assert [symbol.ticker for symbol in Symbol.objects.followed()] == ["SAMPLE1"]
    assert Symbol.objects.in_service().count() == 3
    assert Symbol.objects.named(["SAMPLE1", "SAMPLE2"]).follow() == 1
    assert [symbol.ticker for symbol in Symbol.objects.followed()] == ["SAMPLE1", "SAMPLE2"]


def test_a_lead_that_the_source_does_not_know_is_not_followed() -> None:
    make_symbol("SAMPLE1", upstream_state=UpstreamState.UNKNOWN, followed=False)
    assert Symbol.objects.named(["SAMPLE1"]).follow() == 0


def columns(symbols: SymbolQuerySet, *names: str) -> list[tuple[Any, ...]]:
    return list(map(attrgetter("ticker", *names), symbols))


def test_the_largest_exchanges_are_those_of_the_most_symbols_whose_exchange_is_known() -> None:
    for ticker, exchange in {"A": "XNYS", "B.SA": "BVMF", "C.SA": "BVMF", "D.T": "XTKS", "E": None, "F": None, "G": None}.items():
        make_symbol(ticker, exchange=exchange)

    assert Symbol.objects.all().largest_exchanges(2) == ["BVMF", "XNYS"]


def test_with_last_bar_is_none_where_there_is_no_bar() -> None:
    bars = add_bars(make_symbol("SAMPLE1"), count=3)
    make_symbol("SAMPLE2")
    rows = columns(Symbol.objects.with_last_bar(), "last_date", "last_close")
    assert rows == [("SAMPLE1", bars[-1].date, bars[-1].close), ("SAMPLE2", None, None)]


def test_with_active_version_is_none_where_nothing_serves() -> None:
    version = make_version(make_symbol("SAMPLE1"), number=3)
    make_version(make_symbol("SAMPLE2"), state=VersionState.RETIRED)
    rows = columns(Symbol.objects.with_active_version(), "version_id", "version_number", "trained_at")
    assert rows == [("SAMPLE1", version.pk, 3, version.trained_at), ("SAMPLE2", None, None, None)]


def test_with_newest_forecast_shows_the_latest_session() -> None:
    version = make_version(make_symbol("SAMPLE1"))
    make_forecast(version, MONDAY, price=50.0)
    newest = make_forecast(version, date(2025, 6, 3), price=102.0)
    rows = columns(Symbol.objects.with_newest_forecast(), "forecast_id", "forecast_price", "forecast_target")
    assert rows == [("SAMPLE1", newest.pk, 102.0, date(2025, 6, 4))]


# Bars


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"low": 0.0}, "bar_prices_positive"),
        ({"low": -1.0}, "bar_prices_positive"),
        ({"high": math.inf}, "bar_prices_positive"),
        ({"high": 10.4}, "bar_high_is_highest"),
        ({"open": 11.1}, "bar_high_is_highest"),
        ({"open": math.nan}, "bar_high_is_highest"),
        ({"close": math.nan}, "bar_high_is_highest"),
        ({"low": 10.1}, "bar_low_is_lowest"),
        ({"low": math.nan}, "bar_low_is_lowest"),
        ({"volume": -1.0}, "bar_volume_not_negative"),
        ({"volume": math.nan}, "bar_volume_not_negative"),
        ({"volume": math.inf}, "bar_volume_not_negative"),
    ],
)
def test_a_bar_that_no_session_can_have_is_refused(wrong: dict[str, float], constraint: str) -> None:
    symbol = make_symbol()
    with refused_by(constraint):
        PriceBar.objects.create(symbol=symbol, **(BAR | wrong))


def test_a_bar_whose_high_is_not_a_number_is_refused() -> None:
    symbol = make_symbol()
    with pytest.raises(IntegrityError), transaction.atomic():
        PriceBar.objects.create(symbol=symbol, **(BAR | {"high": math.nan}))


def test_a_session_has_one_bar() -> None:
    symbol = make_symbol()
    PriceBar.objects.create(symbol=symbol, **BAR)
    with refused_by("bar_one_per_session"):
        PriceBar.objects.create(symbol=symbol, **BAR)


def test_bars_are_read_in_the_order_of_their_sessions() -> None:
    symbol = make_symbol()
    for day in (3, 2, 4):
        PriceBar.objects.create(symbol=symbol, **(BAR | {"date": date(2025, 6, day)}))
    add_bars(make_symbol("SAMPLE2"), count=5)
    assert [bar.date.day for bar in PriceBar.objects.of(symbol)] == [2, 3, 4]
