"""During a session: the answers of predict, and what the price source is asked, as the clock moves on."""

from datetime import UTC, date, datetime

import pytest
from django.test import Client
from pytest_django import Settings
from time_machine import TimeMachineFixture

from forecasting import market
from forecasting.models import Forecast, PriceBar, Symbol
from tests.api.conftest import At, Count, Send
from tests.api.live_session import CLOSE, FRIDAY, MONDAY, followed, live_rows, monday, price_at, told
from tests.api.serving import serve
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo, day_of_trades, generated_bars, trading

pytestmark = pytest.mark.django_db


@pytest.fixture
def symbol(yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture) -> Symbol:
    """A symbol with a model and bars up to Friday, which trades on Monday."""
    settings.PREDICT_REFRESH_SECONDS = 5
    return followed("AAA", yahoo, time_machine)


def test_before_the_open_nothing_is_asked_and_the_last_close_is_forecast_from(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    answer = at(monday(13, 29))
    assert told(answer) == ("close", "pre", True)
    assert answer["session"] | {"state": ""} == {"state": "", "opens": "2024-07-01T13:30:00Z", "closes": "2024-07-01T20:00:00Z"}
    assert [answer[name] for name in ("price_now", "price_time", "delayed", "price_problem", "close_forecast")] == [None] * 5
    assert yahoo.charts("AAA") == []


def test_in_the_first_minute_the_open_is_the_price(at: At, symbol: Symbol) -> None:
    before = at(monday(13))
    answer = at(monday(13, 30, 20))
    assert told(answer) == ("live", "open", True)
    assert answer["price_now"] == answer["predicted_price"] == answer["last_close"] == round(CLOSE, 2)
    assert answer["known_until"] == answer["price_time"] == "2024-07-01T13:30:00Z"
    assert answer["interval"]["high"] - answer["interval"]["low"] < before["interval"]["high"] - before["interval"]["low"]
    (row,) = live_rows()
    assert (row.session_fraction, row.target_date, row.as_of) == (0.0, MONDAY, FRIDAY)


def test_the_first_answer_of_each_quarter_of_an_hour_is_kept(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    first = at(monday(16, 1))
    assert told(first) == ("live", "open", True)
    assert first["price_now"] == pytest.approx(price_at(monday(16, 1)), abs=0.01)
    assert at(monday(16, 1, 59)) == first
    assert len(yahoo.charts("AAA")) == 1

    later = at(monday(16, 9))
    assert told(later) == ("live", "open", False)
    assert later["price_now"] > first["price_now"]
    assert len(yahoo.charts("AAA")) == 2

    assert told(at(monday(16, 15))) == ("live", "open", True)
    assert [row.quarter for row in live_rows()] == [monday(16), monday(16, 15)]


def test_the_forecast_of_the_last_close_stands_beside_it_and_stays_as_it_was(at: At, symbol: Symbol) -> None:
    before = at(monday(12))
    answer = at(monday(19))
    assert answer["close_forecast"] == {
        "predicted_price": before["predicted_price"],
        "interval": before["interval"],
        "as_of": before["as_of"],
    }
    assert answer["point_forecast"] == "price_now"
    assert answer["variation"]["percentage"] == pytest.approx(
        100 * (answer["predicted_price"] / answer["last_close"] - 1), abs=0.05
    )
    assert Forecast.objects.filter(basis="close", horizon=1).count() == 1


def test_the_interval_closes_in_on_the_close(at: At, symbol: Symbol) -> None:
    widths = [
        answer["interval"]["high"] - answer["interval"]["low"]
        for answer in (at(moment) for moment in (monday(13, 31), monday(16), monday(18), monday(19, 30)))
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.6 * widths[0]


def test_in_the_last_minute_there_is_a_forecast(at: At, symbol: Symbol) -> None:
    assert told(at(monday(19, 59, 30))) == ("live", "open", True)


def test_after_the_close_the_price_stands_beside_what_was_said_before_the_session(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    at(monday(19, 59, 30))
    answer = at(monday(20, 10))
    assert told(answer) == ("close", "settling", True)
    assert answer["price_now"] == pytest.approx(price_at(monday(19, 59)), abs=0.01)
    assert len(yahoo.charts("AAA")) == 1
    assert not PriceBar.objects.filter(date=MONDAY).exists()


def test_a_half_day_is_over_earlier(yahoo: FakeYahoo, symbol: Symbol, at: At) -> None:
    wednesday = date(2024, 7, 3)  # New York closes at 17:00 UTC
    yahoo.bars["AAA"] = generated_bars("AAA", first=date(2023, 9, 1), last=date(2024, 7, 2))
    price = float(yahoo.bars["AAA"]["close"].iloc[-1])
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", wednesday, prices=(price, price)))
    answer = at(datetime(2024, 7, 3, 15, 15, tzinfo=UTC))
    assert told(answer) == ("live", "open", True)
    assert answer["session"]["closes"] == "2024-07-03T17:00:00Z"
    (row,) = live_rows()
    assert row.session_fraction == pytest.approx(105 / 210)


def test_a_market_that_is_closed_today_is_not_asked_while_another_one_trades(
    at: At, symbol: Symbol, yahoo: FakeYahoo, time_machine: TimeMachineFixture
) -> None:
    friday, holiday = date(2024, 8, 23), date(2024, 8, 26)  # the summer bank holiday of London
    time_machine.move_to(datetime(2024, 8, 24, tzinfo=UTC))
    for ticker in ("AAA", "AAA.L"):
        yahoo.bars[ticker] = generated_bars(ticker, first=date(2023, 9, 1), last=friday)
        yahoo.scenarios.pop(ticker, None)
        market.sync(Symbol.objects.all().ensure([ticker])[0], now=datetime(2024, 8, 24, tzinfo=UTC))
    serve(Symbol.objects.get(ticker="AAA.L"))
    yahoo.scenarios["AAA"] = trading(day_of_trades("AAA", holiday, prices=yahoo.bars["AAA"]["close"].iloc[-2:].tolist()))
    yahoo.requests.clear()
    now = datetime(2024, 8, 26, 14, tzinfo=UTC)
    assert told(at(now, "AAA.L")) == ("close", "closed", True)
    assert yahoo.charts("AAA.L") == []
    assert told(at(now)) == ("live", "open", True)


def test_a_coins_session_is_the_day_in_utc(at: At, yahoo: FakeYahoo, symbol: Symbol, time_machine: TimeMachineFixture) -> None:
    coin = make_symbol("BTC-USD")
    yahoo.bars["BTC-USD"] = generated_bars("BTC-USD", first=date(2023, 9, 1), last=date(2024, 6, 30))
    market.sync(coin, now=monday(0, 40))
    serve(coin)
    price = float(yahoo.bars["BTC-USD"]["close"].iloc[-1])
    yahoo.scenarios["BTC-USD"] = trading(day_of_trades("BTC-USD", MONDAY, prices=(price, 1.01 * price)))
    answer = at(monday(6), "BTC-USD")
    assert told(answer) == ("live", "open", True)
    assert (answer["session"]["opens"], answer["session"]["closes"]) == ("2024-07-01T00:00:00Z", "2024-07-02T00:00:00Z")
    assert live_rows()[0].session_fraction == pytest.approx(0.25)


def test_a_currency_pair_trades_all_day(at: At, yahoo: FakeYahoo, symbol: Symbol) -> None:
    pair = make_symbol("EURUSD=X")
    yahoo.bars["EURUSD=X"] = generated_bars("EURUSD=X", first=date(2023, 9, 1), last=FRIDAY)
    market.sync(pair, now=monday(1))
    serve(pair)
    price = float(yahoo.bars["EURUSD=X"]["close"].iloc[-1])
    yahoo.scenarios["EURUSD=X"] = trading(day_of_trades("EURUSD=X", MONDAY, prices=(price, 1.001 * price)))
    answer = at(monday(12), "EURUSD=X")
    assert told(answer) == ("live", "open", True)
    assert answer["session"]["state"] == "open"


def test_a_get_keeps_forecasts_too_and_stands_until_another_price_may_be_had(
    client: Client, symbol: Symbol, time_machine: TimeMachineFixture
) -> None:
    for second, age in ((0, 60), (20, 40)):
        time_machine.move_to(monday(15, 0, second), tick=False)
        response = client.get("/models/predict", {"symbols": "AAA"})
        assert response.json()["predictions"]["AAA"]["basis"] == "live"
        assert response.headers["Cache-Control"] == f"max-age={age}"
    assert len(live_rows()) == 1


@pytest.mark.parametrize("count", [1, 4])
def test_an_answer_from_a_fresh_price_is_one_query_whatever_the_number_of_symbols(
    post: Send, count_queries: Count, yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture, count: int
) -> None:
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 0
    tickers = [f"A{number}" for number in range(count)]
    for ticker in tickers:
        followed(ticker, yahoo, time_machine)

    def ask() -> None:
        post("predict", {"symbols": tickers})

    time_machine.move_to(monday(15), tick=False)
    ask()
    assert count_queries(ask) == 1
    time_machine.move_to(monday(15, 2), tick=False)
    ask()
    assert count_queries(ask) == 1
