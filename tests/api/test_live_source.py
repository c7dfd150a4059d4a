"""During a session, the price source is slow, refuses, or says nonsense: what is answered, kept and asked next.

New York trades on Monday, 1 July 2024, from 13:30 to 20:00 UTC.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import Settings
from time_machine import TimeMachineFixture

from forecasting import live, market
from forecasting.models import Quote, Symbol, Upstream
from forecasting.models.symbols import UpstreamState
from forecasting.models.upstream import BreakerState
from forecasting.runtime.processes import wait_for
from tests import fake_yahoo
from tests.api.conftest import At, Count, Send
from tests.api.live_session import CLOSE, FRIDAY, KNOWN, LONGER, MONDAY, RISE, followed, live_rows, monday, told
from tests.api.serving import serve
from tests.factories import add_bars, make_symbol
from tests.fake_yahoo import Answer, FakeYahoo, Request, as_yahoo_adjusts, day_of_trades, generated_bars, trading
from tests.pipeline.market_data import rescaled
from tests.racing import begin

pytestmark = pytest.mark.django_db


@pytest.fixture
def symbol(yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture) -> Symbol:
    """A symbol with a model and bars up to Friday, which trades on Monday."""
    settings.PREDICT_REFRESH_SECONDS = 5
    return followed("AAA", yahoo, time_machine)


def trade(yahoo: FakeYahoo, *multiples: float, delay: timedelta = timedelta(0)) -> None:
    """The day's prices, as multiples of the last close."""
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", MONDAY, prices=[CLOSE * each for each in multiples]), delay=delay)


# Nonsense


def test_a_unit_slip_in_the_session_withholds_the_price_until_it_is_over(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    first = at(monday(15))
    trade(yahoo, 0.01, 0.01)
    answer = at(monday(15, 1))
    assert told(answer) == ("close", "open", True)
    assert "two units are mixed" in answer["price_problem"]
    assert Quote.objects.get().price == pytest.approx(first["price_now"], abs=0.01)
    trade(yahoo, 1.0, 1.1)
    answer = at(monday(15, 2))
    assert (told(answer), answer["price_problem"]) == (("live", "open", False), None)
    assert len(live_rows()) == 1


def test_a_price_outside_of_the_range_of_the_day_is_refused(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    def contradicting(fake: FakeYahoo, request: Request) -> Answer:
        body = trading(day_of_trades("AAA", MONDAY, prices=RISE))(fake, request).body
        price = f'"regularMarketPrice": {1.5 * CLOSE}'.encode()
        start = body.index(b'"regularMarketPrice"')
        return Answer(200, body[:start] + price + body[body.index(b",", start) :])

    yahoo.scenarios["AAA"] = contradicting
    answer = at(monday(15))
    assert told(answer) == ("close", "open", True)
    assert "outside of the day's range" in answer["price_problem"]
    assert (Quote.objects.get().price, live_rows()) == (None, [])


def test_a_delayed_feed_has_no_price_in_the_first_minutes(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    trade(yahoo, 1.0, 1.1, delay=timedelta(minutes=15))
    answer = at(monday(13, 40))
    assert (told(answer), answer["price_now"]) == (("close", "open", True), None)
    assert answer["price_problem"] == "the price source gives no price of the session under way"
    assert told(at(monday(13, 46))) == ("live", "open", True)


def test_in_a_lunch_break_the_last_price_stands(at: At, yahoo: FakeYahoo, symbol: Symbol, time_machine: TimeMachineFixture) -> None:
    yahoo.bars["7203.T"] = generated_bars("7203.T", first=date(2023, 9, 1), last=FRIDAY)
    price = float(yahoo.bars["7203.T"]["close"].iloc[-1])
    market.sync(tokyo := make_symbol("7203.T"), now=datetime.fromisoformat("2024-06-29T00:00Z"))
    serve(tokyo)
    yahoo.scenarios["7203.T"] = trading(day_of_trades("7203.T", MONDAY, prices=(price, 1.01 * price)))
    answer = at(monday(3, 20), "7203.T")  # from 2:30 to 3:30
    assert (told(answer), answer["price_time"]) == (("live", "open", True), "2024-07-01T02:30:00Z")
    assert live_rows()[0].session_fraction == pytest.approx(0.5)


# Refusals


def test_a_rate_limit_in_the_session_opens_the_breaker_for_all_symbols(
    at: At, symbol: Symbol, yahoo: FakeYahoo, time_machine: TimeMachineFixture
) -> None:
    followed("BBB", yahoo, time_machine)
    at(monday(15))
    yahoo.scenarios["AAA"] = fake_yahoo.rate_limited
    assert told(at(monday(15, 1))) == ("live", "open", True)
    assert Upstream.objects.get().state == BreakerState.OPEN
    answer = at(monday(15, 1), "BBB")
    assert (told(answer), answer["price_problem"]) == (("close", "open", True), live.NO_PRICE_YET)
    assert yahoo.charts("BBB") == []


def test_a_failure_after_nonsense_does_not_bring_back_the_price_before_it(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    at(monday(15))
    trade(yahoo, 0.01, 0.01)
    at(monday(15, 1))
    yahoo.scenarios["AAA"] = fake_yahoo.broken
    answer = at(monday(15, 2))
    assert told(answer) == ("close", "open", True)
    assert "two units are mixed" in answer["price_problem"]


def test_a_share_that_the_source_no_longer_knows_is_not_asked_for(
    at: At, symbol: Symbol, yahoo: FakeYahoo, count_queries: Count, settings: Settings
) -> None:
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 0
    Symbol.objects.update(upstream_state=UpstreamState.UNKNOWN, unknown_until=monday(16))
    assert told(at(monday(15))) == ("close", "open", True)
    assert count_queries(lambda: at(monday(15, 5))) == 1
    assert yahoo.charts("AAA") == []
    assert told(at(monday(16, 1))) == ("live", "open", True)


# Too little time


def test_symbols_without_an_answer_in_time_are_the_first_of_the_next_request(
    post: Send, yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture
) -> None:
    tickers = [f"A{number}" for number in range(12)]
    for ticker in tickers:
        yahoo.bars[ticker] = KNOWN
        followed(ticker, yahoo, time_machine)
    settings.UPSTREAM_REQUESTS_PER_MINUTE, settings.PREDICT_REFRESH_SECONDS = 300, 1.0
    asked = []
    for second in range(2):
        time_machine.move_to(monday(15, 0, second), tick=False)
        answers = post("predict", {"symbols": tickers})["predictions"]
        asked.append({request.symbol for request in yahoo.requests if request.symbol})
        yahoo.requests.clear()
    assert 1 <= len(asked[0]) <= 6  # every fifth of a second
    assert asked[1]
    assert not asked[0] & asked[1]
    assert {ticker for ticker, answer in answers.items() if answer["basis"] == "live"} <= asked[0] | asked[1]


def test_fifty_symbols_share_the_budget(post: Send, yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture) -> None:
    symbols = [make_symbol(f"A{number}") for number in range(50)]
    for each in symbols:
        add_bars(each, count=130, end=FRIDAY)
        yahoo.bars[each.ticker] = market.bars(symbols[0])
    Quote.objects.bulk_create(
        Quote(symbol=each, asked_at=monday(14) - timedelta(minutes=number)) for number, each in enumerate(symbols)
    )
    settings.UPSTREAM_REQUESTS_PER_MINUTE, settings.UPSTREAM_IN_FLIGHT, settings.PREDICT_REFRESH_SECONDS = 300, 1, 1.0
    time_machine.move_to(monday(15), tick=False)
    answers = post("predict", {"symbols": [each.ticker for each in symbols]})["predictions"]
    assert {answer["status"] for answer in answers.values()} == {"success"}
    asked = [request.symbol for request in yahoo.requests if request.symbol]
    assert 1 <= len(asked) <= 6  # every fifth of a second
    assert asked == [f"A{49 - number}" for number in range(len(asked))]


def test_two_requests_at_once_ask_the_source_once(
    transactional_db: None, at: At, symbol: Symbol, post: Send, yahoo: FakeYahoo, time_machine: TimeMachineFixture
) -> None:
    time_machine.move_to(monday(15), tick=False)
    answer = yahoo.scenarios["AAA"]
    second_is_over = threading.Event()

    def late(fake: FakeYahoo, request: Request) -> Answer:
        second_is_over.wait(5)
        return answer(fake, request)

    yahoo.scenarios["AAA"] = late
    with ThreadPoolExecutor(1) as threads:
        first = begin(threads, lambda: at(monday(15)))
        assert wait_for(lambda: bool(yahoo.charts("AAA")), seconds=5, every_s=0.01)
        meanwhile = post("predict", {"symbols": ["AAA"]})["predictions"]["AAA"]
        assert (told(meanwhile), meanwhile["price_problem"]) == (("close", "open", True), live.NO_PRICE_YET)
        second_is_over.set()
        assert told(first.result()) == ("live", "open", True)
    assert (len(yahoo.charts("AAA")), len(live_rows())) == (1, 1)


def test_an_answer_without_the_price_now_is_not_kept_by_caches(
    client: Client, symbol: Symbol, yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture
) -> None:
    settings.PREDICT_REFRESH_SECONDS = 0
    time_machine.move_to(monday(15), tick=False)
    response = client.get("/models/predict", {"symbols": "AAA"})
    assert response.json()["predictions"]["AAA"]["basis"] == "close"
    assert response.headers["Cache-Control"] == "max-age=0"
    assert yahoo.charts("AAA") == []


def test_a_quarter_of_an_hour_that_begins_during_the_request_has_its_forecast(
    post: Send, symbol: Symbol, time_machine: TimeMachineFixture
) -> None:
    time_machine.move_to(monday(15, 14, 59) + timedelta(microseconds=999_900))  # from here, time goes on
    answer = post("predict", {"symbols": ["AAA"]})["predictions"]["AAA"]
    assert told(answer) == ("live", "open", True)
    assert [row.quarter for row in live_rows()] == [monday(15, 15)]


# A split this morning


def test_after_a_split_all_prices_of_an_answer_are_in_its_units(at: At, yahoo: FakeYahoo, time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(monday(2))
    yahoo.bars["AAA"] = generated_bars("AAA", first=date(2022, 9, 1), last=FRIDAY)
    market.sync(make_symbol("AAA"), now=monday(2))  # served by the base, which forecasts later sessions
    before = at(monday(12))
    close = float(yahoo.bars["AAA"]["close"].iloc[-1])
    traded = yahoo.bars["AAA"].reindex(yahoo.bars["AAA"].index.append(LONGER.index[-1:])).ffill()
    traded = rescaled(traded, slice(len(traded) - 1, None), 0.5)
    yahoo.bars["AAA"] = as_yahoo_adjusts(traded, through=MONDAY, splits={MONDAY: 2})
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", MONDAY, prices=(close / 2, 1.01 * close / 2)))
    for minute, recorded in ((0, True), (1, False)):
        answer = at(monday(15, minute))
        assert told(answer) == ("live", "open", recorded)
        assert answer["last_close"] == pytest.approx(before["last_close"] / 2, abs=0.01)
        assert answer["close_forecast"]["predicted_price"] == pytest.approx(before["predicted_price"] / 2, abs=0.01)
        assert answer["close_forecast"]["interval"]["low"] == pytest.approx(before["interval"]["low"] / 2, abs=0.01)
        assert len(answer["outlook"]) == 3
        for now, then in zip(answer["outlook"], before["outlook"], strict=True):
            assert now["median"] == pytest.approx(then["median"] / 2, abs=0.01)
            assert now["interval"]["high"] == pytest.approx(then["interval"]["high"] / 2, abs=0.01)
            assert now["quantiles"]["0.9"] == pytest.approx(then["quantiles"]["0.9"] / 2, abs=0.01)
    answer = at(monday(20, 10))  # the session is over, and its bar is not there yet
    assert told(answer) == ("close", "settling", True)
    assert answer["point_forecast"] == before["point_forecast"]
    for name in ("last_close", "predicted_price"):
        assert answer[name] == pytest.approx(before[name] / 2, abs=0.01)
    assert answer["interval"]["low"] == pytest.approx(before["interval"]["low"] / 2, abs=0.01)
    assert answer["quantiles"]["0.9"] == pytest.approx(before["quantiles"]["0.9"] / 2, abs=0.01)
    assert answer["outlook"][0]["median"] == pytest.approx(before["outlook"][0]["median"] / 2, abs=0.01)
    assert answer["usual_width"] == before["usual_width"]
