"""During a session: the answers of predict, what is stored, and what the price source is asked, as the clock moves on.

New York trades on Monday, 1 July 2024, from 13:30 to 20:00 UTC.
"""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from pytest_django import Settings
from time_machine import TimeMachineFixture

from forecasting import ledger, live, market
from forecasting.models import Forecast, LiveCalibration, PriceBar, Quote, Symbol
from tests import fake_yahoo
from tests.api.conftest import At, Count, Send
from tests.api.serving import serve
from tests.factories import add_bars, make_symbol
from tests.fake_yahoo import FakeYahoo, as_yahoo_adjusts, day_of_trades, generated_bars, trading
from tests.pipeline.market_data import rescaled
from tests.racing import at_once

pytestmark = pytest.mark.django_db

FRIDAY, MONDAY = date(2024, 6, 28), date(2024, 7, 1)
LONGER = generated_bars("AAA", first=date(2023, 9, 1), last=MONDAY)
KNOWN = LONGER[: str(FRIDAY)]
CLOSE = float(KNOWN["close"].iloc[-1])
RISE = (CLOSE, 1.05 * CLOSE, 1.1 * CLOSE)  # prices from the open to the close, on a line


def monday(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2024, 7, 1, hour, minute, second, tzinfo=UTC)


@pytest.fixture
def symbol(yahoo: FakeYahoo, settings: Settings, time_machine: TimeMachineFixture) -> Symbol:
    """A symbol with a model and bars up to Friday, which trades on Monday."""
    settings.PREDICT_REFRESH_SECONDS = 5
    return followed("AAA", yahoo, time_machine)


def followed(ticker: str, yahoo: FakeYahoo, time_machine: TimeMachineFixture) -> Symbol:
    time_machine.move_to(datetime(2024, 6, 29, 2, tzinfo=UTC))
    yahoo.bars[ticker] = KNOWN
    symbol = make_symbol(ticker)
    market.sync(symbol, now=datetime(2024, 6, 29, 2, tzinfo=UTC))
    serve(symbol)
    yahoo.scenarios[ticker] = trading(day_of_trades(ticker, MONDAY, prices=RISE))
    yahoo.requests.clear()
    return symbol


def told(answer: dict[str, Any]) -> tuple[str, str, bool]:
    return answer["basis"], answer["session"]["state"], answer["recorded"]


def live_rows() -> list[Forecast]:
    return list(Forecast.objects.filter(basis="live").order_by("quarter"))


def price_at(moment: datetime) -> float:
    """The price of the last whole minute, which RISE implies."""
    share = (moment - monday(13, 30)) // timedelta(minutes=1) / 390
    return CLOSE * (1 + 0.1 * share)


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


def test_two_requests_at_once_keep_one_forecast(transactional_db: None, at: At, symbol: Symbol, post: Send) -> None:
    at(monday(14, 59))
    answers = at_once([lambda: post("predict", {"symbols": ["AAA"]})["predictions"]["AAA"]] * 2)
    assert answers[0] == answers[1]
    assert len(live_rows()) == 1


def test_a_get_keeps_forecasts_too_and_stands_until_another_price_may_be_had(
    client: Client, symbol: Symbol, time_machine: TimeMachineFixture
) -> None:
    for second, age in ((0, 60), (20, 40)):
        time_machine.move_to(monday(15, 0, second), tick=False)
        response = client.get("/models/predict", {"symbols": "AAA"})
        assert response.json()["predictions"]["AAA"]["basis"] == "live"
        assert response.headers["Cache-Control"] == f"max-age={age}"
    assert len(live_rows()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"issued_at": monday(20, 1), "quarter": monday(20)},  # after the close
        {"known_until": monday(16, 1)},  # later than issued
        {"known_until": monday(13)},  # before the open
        {"quarter": monday(15, 45)},  # of another quarter
        {"session_fraction": 1.5},
        {"price_now": None},
        {"known_until": None},
        {"target_closes": None},
    ],
)
def test_the_database_refuses_a_forecast_that_knows_too_much_or_nothing(at: At, symbol: Symbol, wrong: dict[str, Any]) -> None:
    at(monday(16))
    (row,) = live_rows()
    for name, value in wrong.items():
        setattr(row, name, value)
    row.pk, row._state.adding = None, True
    row.version = serve(symbol)
    with pytest.raises(IntegrityError, match="forecast_knows_the_past_only"), transaction.atomic():
        row.save()


def test_it_is_scored_at_the_close_and_calibrates_its_part_of_the_session(
    at: At, symbol: Symbol, yahoo: FakeYahoo, post: Send, time_machine: TimeMachineFixture
) -> None:
    at(monday(13, 31))
    at(monday(17))
    del yahoo.scenarios["AAA"]
    yahoo.bars["AAA"] = LONGER.assign(close=LONGER["close"].mask(LONGER.index == str(MONDAY), price_at(monday(20))))
    yahoo.bars["AAA"]["high"] = yahoo.bars["AAA"][["high", "close"]].max(axis=1)
    at(monday(21))
    ledger.score_due()
    scores = [row.scores.get() for row in live_rows()]
    assert [score.part for score in scores] == [0, 3]
    assert all(score.pinball_loss and score.reference_pinball_loss for score in scores)
    assert live.calibrate() == 2
    assert live.calibrate() == 0
    factors = {each.part: each.factor for each in LiveCalibration.objects.filter(exchange="XNYS")}
    for score in scores:
        assert (factors[score.part or 0] < 1) == score.inside_interval
    (metrics,) = post("metrics", {"symbols": ["AAA"]})
    assert metrics["metrics"]["by_basis"]["live"]["live"]["forecasts"] == 2
    assert metrics["metrics"]["by_part"]["0.5"]["forecasts"] == 1
    assert metrics["metrics"]["live"]["forecasts"] == 1


def test_a_dividend_of_the_session_that_comes_in_the_evening_does_not_change_the_close_it_is_scored_with(
    at: At, symbol: Symbol, yahoo: FakeYahoo
) -> None:
    at(monday(12))
    at(monday(17))
    del yahoo.scenarios["AAA"]
    traded = LONGER.assign(close=LONGER["close"].mask(LONGER.index == str(MONDAY), price_at(monday(20))))
    traded["high"] = traded[["high", "close"]].max(axis=1)
    yahoo.bars["AAA"] = as_yahoo_adjusts(traded, through=MONDAY, dividends={MONDAY: 0.5})
    at(monday(21))
    ledger.score_due()
    (row,) = live_rows()
    assert row.scores.get().actual_close == pytest.approx(price_at(monday(20)))
    before = Forecast.objects.get(basis="close", as_of=FRIDAY, horizon=1).scores.get()
    assert before.actual_close > price_at(monday(20))  # in the prices of Friday


def test_the_next_forecast_of_that_part_has_the_learned_width(at: At, symbol: Symbol) -> None:
    LiveCalibration.objects.create(exchange="XNYS", part=3, factor=1.2, through=FRIDAY)
    at(monday(15))
    at(monday(17))
    assert [row.spread_factor for row in live_rows()] == [1.0, 1.2]


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


def test_later_trades_do_not_change_a_forecast(at: At, symbol: Symbol, yahoo: FakeYahoo) -> None:
    first = at(monday(16))
    Forecast.objects.filter(basis="live")._raw_delete("default")
    Quote.objects.all().delete()
    wild = [*RISE[:2], 0.8 * CLOSE]
    yahoo.scenarios["AAA"] = trading(
        [trade for trade in day_of_trades("AAA", MONDAY, prices=RISE) if trade[0] <= monday(16)]
        + [trade for trade in day_of_trades("AAA", MONDAY, prices=wild) if trade[0] > monday(16)]
    )
    assert at(monday(16)) == first
