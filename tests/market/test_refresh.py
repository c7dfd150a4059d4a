"""Refreshes for a request: several symbols in parallel, within a time budget."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import DjangoAssertNumQueries

from forecasting import market
from forecasting.models import Symbol
from forecasting.models.symbols import UpstreamState
from tests import fake_yahoo
from tests.factories import add_bars, make_symbol
from tests.fake_yahoo import FakeYahoo
from tests.market.histories import FRIDAY, HISTORY, NOW, assert_stored, write

pytestmark = pytest.mark.django_db


def test_a_refresh_brings_every_symbol_up_to_date_and_notes_each_failure(folder: Path) -> None:
    good, unknown = make_symbol("AAA"), make_symbol("BBB")
    write(folder)
    assert market.refresh([good, unknown], now=NOW, budget_s=10) == []
    assert_stored(good, HISTORY)
    unknown.refresh_from_db()
    assert unknown.upstream_state == UpstreamState.UNKNOWN


def test_a_refresh_does_not_wait_longer_than_its_budget(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY
    yahoo.scenarios["BBB"] = fake_yahoo.slow
    quick, slow = make_symbol("AAA"), make_symbol("BBB")
    started = time.monotonic()
    assert market.refresh([quick, slow], now=NOW, budget_s=1.0) == [slow]
    assert time.monotonic() - started < 3
    assert_stored(quick, HISTORY)


def test_a_symbol_that_was_late_is_not_asked_for_again_by_the_next_request(yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.slow
    make_symbol("AAA")
    assert market.refresh(list(Symbol.objects.all()), now=NOW, budget_s=0.1)
    assert market.refresh(list(Symbol.objects.all()), now=NOW + timedelta(minutes=1), budget_s=0.1) == []


@pytest.mark.parametrize(("after", "rows"), [(timedelta(minutes=9, seconds=59), 0), (timedelta(minutes=10), len(HISTORY))])
def test_the_source_is_asked_about_a_symbol_every_ten_minutes_at_most(folder: Path, after: timedelta, rows: int) -> None:
    write(folder)
    symbol = make_symbol("AAA", upstream_checked_at=NOW - after)
    market.refresh([symbol], now=NOW, budget_s=10)
    assert len(market.bars(symbol)) == rows


def test_a_sync_is_not_prevented_by_an_earlier_check(folder: Path) -> None:
    write(folder)
    symbol = make_symbol("AAA", upstream_checked_at=NOW)
    assert market.sync(symbol, now=NOW) == len(HISTORY)


@pytest.mark.parametrize("count", [1, 7])
def test_a_refresh_of_up_to_date_symbols_is_one_query(django_assert_num_queries: DjangoAssertNumQueries, count: int) -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(count)]
    for symbol in symbols:
        add_bars(symbol, count=3, end=FRIDAY)
    with django_assert_num_queries(1):
        assert market.refresh(symbols, now=NOW, budget_s=0) == []
