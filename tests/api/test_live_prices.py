"""During a session: prices that are late, missing, slow to come or in other units."""

import time
from datetime import timedelta

import pytest
from pytest_django import Settings
from time_machine import TimeMachineFixture

from forecasting import market
from forecasting.models import Quote, Symbol
from tests import fake_yahoo
from tests.api.conftest import At, Send
from tests.api.live_session import CLOSE, FRIDAY, KNOWN, LONGER, MONDAY, RISE, followed, live_rows, monday, price_at, told
from tests.factories import add_bars, make_symbol
from tests.fake_yahoo import FakeYahoo, as_yahoo_adjusts, day_of_trades, trading
from tests.pipeline.market_data import rescaled

pytestmark = pytest.mark.django_db


@pytest.fixture
def symbol(yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture) -> Symbol:
    """A symbol with a model and bars up to Friday, which trades on Monday."""
    settings.PREDICT_REFRESH_SECONDS = 5
    return followed("AAA", yahoo, time_machine)


def test_a_halted_share_is_not_forecast_from_its_last_price(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", MONDAY, prices=RISE, until=monday(15)))
    assert told(at(monday(15, 20))) == ("live", "open", True)
    answer = at(monday(15, 31))
    assert told(answer) == ("close", "open", True)
    assert answer["price_problem"] == "no trade known since 11:00 EDT: halted, barely traded or not reported"
    assert answer["price_now"] is None


def test_a_delayed_price_counts_with_its_own_time(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", MONDAY, prices=RISE), delay=timedelta(minutes=15))
    answer = at(monday(16))
    assert (answer["known_until"], answer["delayed"]) == ("2024-07-01T15:45:00Z", True)
    (row,) = live_rows()
    assert row.session_fraction == pytest.approx(135 / 390)
    assert (row.known_until, row.issued_at) == (monday(15, 45), monday(16))


def test_a_split_that_the_bars_lack_is_noticed(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", MONDAY, prices=[price / 2 for price in RISE]))
    answer = at(monday(15))
    assert told(answer) == ("close", "open", True)
    assert "a split of 2:1" in answer["price_problem"]
    assert live_rows() == []


def test_a_split_that_the_source_has_adjusted_leads_to_new_bars_and_a_forecast_in_new_prices(
    at: At, symbol: Symbol, yahoo: FakeYahoo
) -> None:
    at(monday(12))
    traded = rescaled(LONGER, slice(len(KNOWN), None), 0.5)
    yahoo.bars["AAA"] = as_yahoo_adjusts(traded, through=MONDAY, splits={MONDAY: 2})
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", MONDAY, prices=[price / 2 for price in RISE]))
    answer = at(monday(15))
    assert told(answer) == ("live", "open", True)
    assert answer["last_close"] == pytest.approx(CLOSE / 2, abs=0.01)
    assert answer["predicted_price"] == pytest.approx(price_at(monday(15)) / 2, abs=0.01)
    assert answer["close_forecast"]["interval"]["high"] < CLOSE  # in these prices, too
    assert market.bars(symbol)["close"].iloc[-1] == pytest.approx(CLOSE / 2)


def test_a_price_in_another_unit_is_refused(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", MONDAY, prices=[price / 100 for price in RISE]))
    answer = at(monday(15))
    assert told(answer) == ("close", "open", True)
    assert "two units are mixed" in answer["price_problem"]


def test_while_the_source_refuses_the_last_price_serves_with_its_time_for_half_an_hour(
    at: At, symbol: Symbol, yahoo: FakeYahoo
) -> None:
    at(monday(15))
    yahoo.scenarios["AAA"] = fake_yahoo.rate_limited
    answer = at(monday(15, 5))
    assert told(answer) == ("live", "open", True)
    assert answer["price_time"] == "2024-07-01T15:00:00Z"
    asked = len(yahoo.charts("AAA"))
    assert told(at(monday(15, 20))) == ("live", "open", True)  # of a new quarter, from the same price
    assert told(at(monday(15, 31))) == ("close", "open", True)
    assert len(yahoo.charts("AAA")) == asked  # the breaker is open
    assert [row.known_until for row in live_rows()] == [monday(15)] * 2


def test_many_symbols_with_old_prices_end_within_the_budget_and_the_oldest_are_asked_first(
    post: Send, yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture
) -> None:
    tickers = [f"A{number}" for number in range(6)]
    for ticker in tickers:
        followed(ticker, yahoo, time_machine)
    time_machine.move_to(monday(15), tick=False)
    for age, ticker in enumerate(tickers):
        Quote.objects.create(symbol=Symbol.objects.get(ticker=ticker), asked_at=monday(14) - timedelta(minutes=age))
    settings.UPSTREAM_IN_FLIGHT, settings.PREDICT_REFRESH_SECONDS = 1, 5
    post("predict", {"symbols": tickers})
    assert [request.symbol for request in yahoo.requests if request.symbol] == tickers[::-1]


def test_a_source_that_is_too_slow_does_not_hold_up_fifty_symbols(
    post: Send, yahoo: FakeYahoo, settings: Settings, symbol: Symbol, time_machine: TimeMachineFixture
) -> None:
    symbols = [make_symbol(f"A{number}") for number in range(49)]
    for each in symbols:
        add_bars(each, count=130, end=FRIDAY)
        yahoo.scenarios[each.ticker] = fake_yahoo.slow
    settings.PREDICT_REFRESH_SECONDS = 0.5
    time_machine.move_to(monday(15), tick=False)
    started = time.monotonic()
    answers = post("predict", {"symbols": ["AAA", *(each.ticker for each in symbols)]})["predictions"]
    assert time.monotonic() - started < 10  # of which half a second is for the source
    assert {answer["basis"] for answer in answers.values()} <= {"live", "close"}
    assert all(answer["status"] == "success" for answer in answers.values())
