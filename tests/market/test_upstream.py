"""Requests to the price source: retries, and unknown symbols."""

import time
from datetime import timedelta

import pytest

from forecasting import market
from forecasting.market import storing, upstream
from forecasting.models import Symbol, Upstream
from forecasting.models.symbols import UpstreamState
from forecasting.models.upstream import BreakerState
from forecasting.prices.sources import (
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
    UpstreamUnavailableError,
)
from tests import fake_yahoo
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo, only_at_first
from tests.market.histories import HISTORY, NOW, WEDNESDAY_EVENING, assert_stored
from tests.market.price_requests import charts, fails

pytestmark = pytest.mark.django_db

FAILS = {"server error": fake_yahoo.broken, "page": fake_yahoo.html_page, "half an answer": fake_yahoo.truncated}


def state() -> Upstream:
    return Upstream.objects.get()


# Retries


@pytest.mark.parametrize("trouble", FAILS.values(), ids=FAILS)
def test_what_may_pass_is_tried_again(yahoo: FakeYahoo, symbols: list[Symbol], trouble: fake_yahoo.Scenario) -> None:
    yahoo.scenarios["AAA"] = only_at_first(trouble, times=2)
    assert market.sync(symbols[0], now=NOW) == len(HISTORY)
    assert len(charts(yahoo)) == 3
    assert (state().failures, state().state) == (0, BreakerState.CLOSED)


def test_it_is_tried_three_times_at_the_most(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.broken
    assert fails("AAA", UpstreamUnavailableError) == "Yahoo Finance failed with HTTP status 500; try again later"
    assert len(charts(yahoo)) == 3
    symbols[0].refresh_from_db()
    assert symbols[0].upstream_state == UpstreamState.UNAVAILABLE


@pytest.mark.parametrize(
    ("trouble", "error"),
    [(fake_yahoo.unknown, UnknownSymbolError), (fake_yahoo.rate_limited, RateLimitedError)],
    ids=["unknown", "rate limited"],
)
def test_what_will_not_pass_is_not_tried_again(
    yahoo: FakeYahoo, symbols: list[Symbol], trouble: fake_yahoo.Scenario, error: type[PriceSourceError]
) -> None:
    yahoo.scenarios["AAA"] = trouble
    fails("AAA", error)
    assert charts(yahoo) == ["AAA"]


def test_a_sync_with_all_its_attempts_has_a_time_limit(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.slow
    started = time.monotonic()
    with pytest.raises(UpstreamUnavailableError):
        market.sync(symbols[0], now=NOW, seconds=0.5)
    assert time.monotonic() - started < 1.5


# Unknown symbols


def test_that_a_symbol_is_unknown_is_remembered_for_a_day_and_then_for_a_week(yahoo: FakeYahoo) -> None:
    symbol = make_symbol("NOPE")
    moment = NOW
    for period in (timedelta(days=1), timedelta(days=7), timedelta(days=7)):
        for later in (timedelta(), period - timedelta(seconds=1)):
            with pytest.raises(UnknownSymbolError, match="NOPE: Yahoo Finance has no such symbol; check its spelling"):
                market.sync(symbol, now=moment + later)
        moment += period
    assert len(charts(yahoo)) == 3
    assert symbol.unknown_until == moment


def test_a_person_may_ask_again_at_once(yahoo: FakeYahoo) -> None:
    symbol = make_symbol("AAA", upstream_state=UpstreamState.UNKNOWN, unknown_answers=1, unknown_until=NOW + timedelta(days=1))
    yahoo.bars["AAA"] = HISTORY
    assert market.sync(symbol, now=NOW, ask_again=True) == len(HISTORY)
    symbol.refresh_from_db()
    assert (symbol.upstream_state, symbol.unknown_answers, symbol.unknown_until) == (UpstreamState.OK, 0, None)


@pytest.mark.parametrize("trouble", [fake_yahoo.html_not_found, fake_yahoo.broken, fake_yahoo.rate_limited, fake_yahoo.html_page])
def test_a_failure_does_not_make_a_symbol_unknown(yahoo: FakeYahoo, trouble: fake_yahoo.Scenario) -> None:
    symbol = make_symbol("AAA")
    yahoo.scenarios["AAA"] = trouble
    with pytest.raises(PriceSourceError):
        market.sync(symbol, now=NOW)
    assert symbol.unknown_until is None
    assert symbol.upstream_state != UpstreamState.UNKNOWN


def test_what_a_folder_of_files_lacks_is_not_remembered(folder: object) -> None:
    symbol = make_symbol("AAA")
    with pytest.raises(UnknownSymbolError):
        market.sync(symbol, now=NOW)
    assert symbol.unknown_until is None


def test_a_delisted_symbol_keeps_its_bars(yahoo: FakeYahoo) -> None:
    symbol = make_symbol("AAA")
    yahoo.bars["AAA"] = HISTORY
    market.sync(symbol, now=WEDNESDAY_EVENING)
    before = market.bars(symbol)
    yahoo.scenarios["AAA"] = fake_yahoo.unknown
    with pytest.raises(UnknownSymbolError):
        market.sync(symbol, now=NOW)
    assert symbol.unknown_until == NOW + storing.UNKNOWN_FOR[0]
    assert_stored(symbol, before)


@pytest.mark.usefixtures("yahoo")
def test_one_caller_of_a_process_waits_for_a_remote_source() -> None:
    with upstream.deadline(60) as first, upstream.deadline(60) as second:
        assert second <= time.monotonic() < first
    with upstream.deadline(60) as next_one:
        assert next_one > time.monotonic()


@pytest.mark.usefixtures("folder")
def test_all_callers_wait_for_a_source_on_this_machine() -> None:
    with upstream.deadline(60) as first, upstream.deadline(60) as second:
        assert min(first, second) > time.monotonic()
