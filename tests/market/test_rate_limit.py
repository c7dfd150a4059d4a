"""Rate limit and circuit breaker, across threads and processes."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from forecasting import market
from forecasting.market import rate_limit, upstream
from forecasting.models import Symbol, Upstream
from forecasting.models.symbols import UpstreamState
from forecasting.models.upstream import BreakerState
from forecasting.prices.sources import (
    PausedError,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
    UpstreamUnavailableError,
)
from forecasting.runtime.processes import wait_for
from tests import fake_yahoo
from tests.factories import make_symbol, make_upstream
from tests.fake_yahoo import Answer, FakeYahoo, Request
from tests.market.histories import HISTORY, NOW
from tests.market.price_requests import TICKERS, charts, fails
from tests.racing import at_once

pytestmark = pytest.mark.django_db


def sync_all(symbols: list[Symbol]) -> None:
    for symbol in symbols:
        market.sync(symbol, now=NOW)


def state() -> Upstream:
    return Upstream.objects.get()


# Rate limit


@pytest.mark.django_db(transaction=True)
def test_processes_together_keep_the_pace(yahoo: FakeYahoo, settings: Settings, symbols: list[Symbol]) -> None:
    settings.UPSTREAM_REQUESTS_PER_MINUTE = 600
    moments: list[float] = []

    def timed(fake: FakeYahoo, request: Request) -> Answer:
        moments.append(time.monotonic())
        return fake_yahoo.known(fake, request)

    yahoo.scenarios |= dict.fromkeys(TICKERS, timed)
    market.sync(symbols[0], now=NOW)  # cookies exist
    moments.clear()
    at_once([partial(sync_all, symbols[1:3]), partial(sync_all, symbols[3:5])])
    pauses = [later - earlier for earlier, later in zip(sorted(moments), sorted(moments)[1:], strict=False)]
    assert len(pauses) == 3
    assert min(pauses) > 0.09


@pytest.mark.django_db(transaction=True)
def test_a_request_goes_before_a_job_that_syncs_many_symbols(yahoo: FakeYahoo, settings: Settings) -> None:
    settings.UPSTREAM_REQUESTS_PER_MINUTE = 300
    yahoo.bars = {f"KNOWN{number}": HISTORY for number in range(16)}
    symbols = [make_symbol(ticker) for ticker in yahoo.bars]
    market.sync(symbols[0], now=NOW)  # cookies exist
    sent = []

    def look_up() -> None:
        for number in range(8):
            before = len(charts(yahoo))
            market.look_up([f"NONE{number}"], now=NOW, budget_s=10)
            sent.append(len(charts(yahoo)) - before)
            wait_for(lambda: charts(yahoo)[-1].startswith("KNOWN"), seconds=10)  # the job goes on

    both: list[Callable[[], None]] = [look_up, partial(sync_all, symbols[1:])]
    at_once(both)
    assert sum(sent) <= 1.5 * len(sent), sent  # each one of its own, and now and then one of the job


@pytest.mark.django_db(transaction=True)
def test_processes_together_have_so_many_requests_under_way(
    yahoo: FakeYahoo, settings: Settings, symbols: list[Symbol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_turn", threading.Semaphore(2))  # as if each were in a process of its own
    settings.UPSTREAM_IN_FLIGHT = 2
    under_way, most, lock = 0, 0, threading.Lock()

    def counted(fake: FakeYahoo, request: Request) -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        fake.closing.wait(0.1)  # the duration of an answer
        with lock:
            under_way -= 1
        return fake_yahoo.known(fake, request)

    yahoo.scenarios |= dict.fromkeys(TICKERS, counted)
    at_once([partial(market.refresh, group, now=NOW, budget_s=10) for group in (symbols[:3], symbols[3:])])
    assert most == 2
    assert all(len(market.bars(symbol)) == len(HISTORY) for symbol in symbols)


def test_a_request_whose_process_died_counts_until_its_lease_ends(symbols: list[Symbol], settings: Settings) -> None:
    settings.UPSTREAM_IN_FLIGHT = 1
    upstream = make_upstream(leases=[])
    Upstream.objects.update(leases=[upstream.next_request_at + timedelta(seconds=60)])
    assert market.refresh(symbols[:1], now=NOW, budget_s=0.2) == symbols[:1]
    Upstream.objects.update(leases=[upstream.next_request_at - timedelta(seconds=1)])
    assert market.sync(symbols[0], now=NOW) == len(HISTORY)
    assert state().leases == []


def test_a_request_that_finds_no_time_is_not_sent(yahoo: FakeYahoo, settings: Settings, symbols: list[Symbol]) -> None:
    settings.UPSTREAM_REQUESTS_PER_MINUTE = 1
    assert market.refresh(symbols, now=NOW, budget_s=0.5) == symbols[1:]
    assert charts(yahoo) == ["AAA"]


def test_files_are_read_without_limits(folder: object) -> None:
    market.refresh([make_symbol(ticker) for ticker in TICKERS], now=NOW, budget_s=10)
    assert not Upstream.objects.exists()
    assert {symbol.upstream_state for symbol in Symbol.objects.all()} == {UpstreamState.UNKNOWN}


# Breaker


def test_a_rate_limit_leaves_the_source_alone_for_a_quarter_of_an_hour(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.rate_limited
    fails("AAA", RateLimitedError)
    assert (state().state, state().pause) == (BreakerState.OPEN, timedelta(minutes=15))
    reason = fails("BBB", PausedError)
    assert reason.startswith("no prices are requested until 20")
    assert reason.endswith("because Yahoo Finance refuses more requests for now; try again in a few minutes")
    assert charts(yahoo) == ["AAA"]
    symbols[1].refresh_from_db()
    assert (symbols[1].upstream_state, symbols[1].upstream_checked_at) == (UpstreamState.NEVER_ASKED, None)


def test_each_refusal_in_a_row_doubles_the_time_up_to_four_hours(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.rate_limited
    pauses = []
    for _ in range(6):
        fails("AAA", RateLimitedError)
        pauses.append(state().pause)
        Upstream.objects.update(open_until=Now())
    assert pauses == [timedelta(minutes=minutes) for minutes in (15, 30, 60, 120, 240, 240)]


@pytest.mark.django_db(transaction=True)
def test_one_request_tries_whether_the_source_is_back(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    make_upstream(state=BreakerState.OPEN, open_until=Now(), reason="it was slow", opens=3)
    tried, others_asked = threading.Event(), threading.Event()

    def answer_later(fake: FakeYahoo, request: Request) -> Answer:
        tried.set()
        others_asked.wait(10)
        return fake_yahoo.known(fake, request)

    def others() -> list[str]:
        tried.wait(10)
        reasons = [fails(ticker, PausedError) for ticker in TICKERS[1:]]
        others_asked.set()
        return reasons

    yahoo.scenarios["AAA"] = answer_later
    calls: list[Callable[[], object]] = [partial(market.sync, symbols[0], now=NOW), others]
    at_once(calls)
    assert charts(yahoo) == ["AAA"]
    after = state()
    assert (after.state, after.reason, after.opens, after.open_until) == (BreakerState.CLOSED, "", 0, None)
    assert market.sync(symbols[1], now=NOW) == len(HISTORY)


def test_a_probe_that_fails_opens_the_breaker_for_twice_as_long(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    make_upstream(state=BreakerState.OPEN, open_until=Now(), opens=1)
    yahoo.scenarios["AAA"] = fake_yahoo.broken
    fails("AAA", UpstreamUnavailableError)
    assert (state().state, state().opens, state().pause) == (BreakerState.OPEN, 2, timedelta(minutes=2))
    assert charts(yahoo) == ["AAA"]


@pytest.mark.parametrize("error", [RateLimitedError, UpstreamUnavailableError])
def test_only_the_probe_decides_while_the_breaker_is_half_open(error: type[PriceSourceError]) -> None:
    make_upstream(failures=rate_limit.FAILURES_TO_OPEN)
    earlier = rate_limit.acquire("yahoo")
    Upstream.objects.update(
        state=BreakerState.OPEN, reason="it was", opens=1, opened_at=Now(), open_until=Now(), next_request_at=Now()
    )
    probe = rate_limit.acquire("yahoo")
    assert earlier
    assert probe
    rate_limit.release(earlier, error("AAA", "it fails"))
    assert (state().state, state().opens, state().reason) == (BreakerState.HALF_OPEN, 1, "it was")
    rate_limit.release(probe, UnknownSymbolError("BBB", "no such symbol"))
    assert (state().state, state().opens, state().failures) == (BreakerState.CLOSED, 0, 0)


def test_a_probe_whose_process_died_is_followed_by_another(symbols: list[Symbol]) -> None:
    make_upstream(state=BreakerState.HALF_OPEN)
    fails("AAA", PausedError)
    Upstream.objects.update(open_until=Now() - timedelta(seconds=1))
    assert market.sync(symbols[0], now=NOW) == len(HISTORY)
    assert state().state == BreakerState.CLOSED


def test_failures_in_a_row_open_the_breaker(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    yahoo.scenarios |= dict.fromkeys(TICKERS, fake_yahoo.broken)
    fails("AAA", UpstreamUnavailableError)
    fails("BBB", PausedError)
    assert (state().state, state().pause) == (BreakerState.OPEN, timedelta(minutes=1))
    assert Counter(charts(yahoo)) == {"AAA": 3, "BBB": 2}


def test_an_answer_ends_a_row_of_failures(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.broken
    fails("AAA", UpstreamUnavailableError)
    yahoo.scenarios["BBB"] = fake_yahoo.unknown
    fails("BBB", UnknownSymbolError)
    assert (state().failures, state().state) == (0, BreakerState.CLOSED)
    assert state().last_success_at


def test_an_answer_that_was_under_way_does_not_close_the_breaker(yahoo: FakeYahoo, symbols: list[Symbol]) -> None:
    def answer_once_it_is_open(fake: FakeYahoo, request: Request) -> Answer:
        limited.wait(10)
        return fake_yahoo.known(fake, request)

    def limit(fake: FakeYahoo, request: Request) -> Answer:
        threading.Timer(0.1, limited.set).start()
        return fake_yahoo.rate_limited(fake, request)

    limited = threading.Event()
    yahoo.scenarios |= {"AAA": answer_once_it_is_open, "BBB": limit}
    market.refresh(symbols[:2], now=NOW, budget_s=10)
    assert len(market.bars(symbols[0])) == len(HISTORY)
    assert (state().state, state().opens) == (BreakerState.OPEN, 1)


def test_with_the_breaker_open_a_refresh_asks_nothing_and_leaves_nothing_to_the_background(
    yahoo: FakeYahoo, symbols: list[Symbol]
) -> None:
    make_upstream(state=BreakerState.OPEN)
    started = time.monotonic()
    assert market.refresh(symbols, now=NOW, budget_s=10) == []
    assert time.monotonic() - started < 2
    assert charts(yahoo) == []


def test_only_a_remote_source_is_ever_paused(folder: object) -> None:
    make_upstream(state=BreakerState.OPEN)
    make_upstream(source="csv", state=BreakerState.OPEN)
    assert upstream.why_paused() == ""
