"""Quotes of the Yahoo source, over real HTTP against a fake server, while the clock moves through a session."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecasting.prices.quotes import Quote, QuoteFault, quote_problem
from forecasting.prices.sources import PriceHistory
from forecasting.prices.yahoo import Yahoo
from tests.fake_yahoo import Answer, FakeYahoo, Request, Trades, day_of_trades, generated_bars, trading
from tests.fake_yahoo.server import results

SYMBOL = "PETR4.SA"
FIRST, LAST = date(2024, 1, 2), date(2024, 6, 28)
MONDAY = date(2024, 7, 1)  # from 13:00 to 21:00 UTC in São Paulo, by its calendar
TRADES = day_of_trades(SYMBOL, MONDAY, prices=(20.0, 22.0, 21.0))


@pytest.fixture
def fake() -> Iterator[FakeYahoo]:
    with FakeYahoo() as fake:
        fake.bars[SYMBOL] = generated_bars(SYMBOL, first=FIRST, last=LAST)
        yield fake


@pytest.fixture
def yahoo(fake: FakeYahoo, tmp_path: Path) -> Yahoo:
    return Yahoo(base_url=fake.url, cache_dir=tmp_path)


def fetched(yahoo: Yahoo, symbol: str = SYMBOL, *, since: date | None = None, through: date = LAST) -> PriceHistory:
    return yahoo.fetch(symbol, since=since, through=through)


def say(fake: FakeYahoo, **metadata: Any) -> None:
    """The service answers with the bars and other metadata."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        chart = fake.chart(request)
        return results(chart | {"meta": chart["meta"] | metadata})

    fake.scenarios[SYMBOL] = answer


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 7, 1, hour, minute, tzinfo=UTC)


def show(fake: FakeYahoo, now: datetime, trades: Trades = TRADES, *, symbol: str = SYMBOL, **options: Any) -> None:
    """The service answers as of `now`."""
    fake.scenarios[symbol] = trading(trades, clock=lambda: now, **options)


def quoted(fake: FakeYahoo, yahoo: Yahoo, symbol: str) -> Quote:
    """The quote of a symbol at 15:00 UTC."""
    fake.bars[symbol] = generated_bars(symbol, first=date(2024, 1, 2), last=MONDAY)
    show(fake, at(15), day_of_trades(symbol, MONDAY, prices=(20.0, 21.0)), symbol=symbol)
    quote = fetched(yahoo, symbol).quote
    assert quote
    return quote


def test_the_unfinished_bar_and_the_last_trade_are_a_quote(fake: FakeYahoo, yahoo: Yahoo) -> None:
    show(fake, at(17, 30))
    prices = [price for time, price in TRADES if time <= at(17, 30)]
    expected = Quote(
        session=MONDAY, time=at(17, 30), price=prices[-1], open=20.0, high=22.0, low=20.0, volume=1_000 * len(prices), ends=at(21)
    )
    assert fetched(yahoo).quote == expected


def test_a_quote_needs_no_further_request(fake: FakeYahoo, yahoo: Yahoo) -> None:
    show(fake, at(17))
    fetched(yahoo, since=date(2024, 6, 20))
    assert len(fake.charts(SYMBOL)) == 1


def test_the_bars_of_an_answer_with_a_quote_are_the_finished_ones(fake: FakeYahoo, yahoo: Yahoo) -> None:
    show(fake, at(17))
    pd.testing.assert_frame_equal(fetched(yahoo).bars, fake.bars[SYMBOL], check_freq=False)


@pytest.mark.parametrize("now", [at(12), datetime(2024, 6, 30, 15, tzinfo=UTC)])
def test_there_is_no_quote_before_the_first_trade(fake: FakeYahoo, yahoo: Yahoo, now: datetime) -> None:
    show(fake, now)
    history = fetched(yahoo)
    assert (history.quote, history.quote_problem) == (None, "")


def test_there_is_a_quote_from_the_first_trade_on(fake: FakeYahoo, yahoo: Yahoo) -> None:
    show(fake, at(13))
    quote = fetched(yahoo).quote
    assert quote
    assert (quote.time, quote.price, quote.high, quote.low) == (at(13), 20.0, 20.0, 20.0)


def test_the_quote_of_a_session_that_settles_is_its_close(fake: FakeYahoo, yahoo: Yahoo) -> None:
    show(fake, at(21, 10))
    quote = fetched(yahoo).quote
    assert quote
    assert (quote.time, quote.price) == (at(21), 21.0)


def test_there_is_no_quote_of_a_session_whose_bar_was_asked_for(fake: FakeYahoo, yahoo: Yahoo) -> None:
    show(fake, at(22))
    history = fetched(yahoo, through=MONDAY)
    assert history.quote is None
    assert history.bars.index[-1] == pd.Timestamp(MONDAY)


def test_a_delayed_quote_has_the_time_of_its_trade(fake: FakeYahoo, yahoo: Yahoo) -> None:
    show(fake, at(17), delay=timedelta(minutes=15))
    quote = fetched(yahoo).quote
    assert quote
    assert quote.time == at(16, 45)


def test_a_halted_quote_has_the_time_of_its_trade(fake: FakeYahoo, yahoo: Yahoo) -> None:
    show(fake, at(17), day_of_trades(SYMBOL, MONDAY, prices=(20.0, 21.0), until=at(14, 12)))
    quote = fetched(yahoo).quote
    assert quote
    assert quote.time == at(14, 12)


@pytest.mark.parametrize("symbol", ["AAPL", "OCDO.L", "BTC-USD", "BRL=X", "^BVSP"])
def test_a_quote_is_of_the_date_at_its_exchange(fake: FakeYahoo, yahoo: Yahoo, symbol: str) -> None:
    quote = quoted(fake, yahoo, symbol)
    assert (quote.session, quote.time) == (MONDAY, at(15))


def test_a_quote_of_sydney_is_of_the_date_at_its_exchange(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.bars["CBA.AX"] = generated_bars("CBA.AX", first=date(2024, 1, 2), last=LAST)
    show(fake, at(1), day_of_trades("CBA.AX", MONDAY, prices=(20.0, 21.0)), symbol="CBA.AX")
    quote = fetched(yahoo, "CBA.AX").quote
    assert quote
    assert quote.session == MONDAY


@pytest.mark.parametrize("metadata", [{"regularMarketPrice": None}, {"regularMarketPrice": "21"}, {"regularMarketTime": None}])
def test_there_is_no_quote_without_price_or_time(fake: FakeYahoo, yahoo: Yahoo, metadata: dict[str, Any]) -> None:
    say(fake, **{"regularMarketPrice": 21.0, "regularMarketTime": int(at(17).timestamp())} | metadata)
    history = fetched(yahoo)
    assert (history.quote, history.quote_problem) == (None, "")


@pytest.mark.parametrize("price", [21.0, float("nan")])
def test_a_trade_without_a_bar_of_its_day_is_a_problem_that_costs_no_bars(fake: FakeYahoo, yahoo: Yahoo, price: float) -> None:
    say(fake, regularMarketPrice=price, regularMarketTime=int(at(17).timestamp()))
    history = fetched(yahoo)
    assert history.quote is None
    assert history.quote_problem == "Yahoo Finance has a trade of 2024-07-01, but no complete bar of that day"
    assert len(history.bars) == len(fake.bars[SYMBOL])


DAYS: dict[str, tuple[datetime, Trades, timedelta, QuoteFault | None]] = {
    "first minute": (at(13, 1), TRADES, timedelta(0), None),
    "middle": (at(17), TRADES, timedelta(0), None),
    "delayed": (at(17), TRADES, timedelta(minutes=20), None),
    "last minute": (at(20, 59), TRADES, timedelta(0), None),
    "settling": (at(21, 20), TRADES, timedelta(0), None),
    "halted": (at(17), day_of_trades(SYMBOL, MONDAY, prices=(20.0, 21.0), until=at(14, 12)), timedelta(0), QuoteFault.HALTED),
    "split": (at(17), day_of_trades(SYMBOL, MONDAY, prices=(10.0, 10.3)), timedelta(0), QuoteFault.SPLIT),
    "unit": (at(17), day_of_trades(SYMBOL, MONDAY, prices=(0.2, 0.21)), timedelta(0), QuoteFault.UNIT),
}


@pytest.mark.parametrize(("now", "trades", "delay", "fault"), DAYS.values(), ids=DAYS)
def test_what_yahoo_shows_during_a_day_is_judged(
    fake: FakeYahoo, yahoo: Yahoo, now: datetime, trades: Trades, delay: timedelta, fault: QuoteFault | None
) -> None:
    show(fake, now, trades, delay=delay)
    quote = fetched(yahoo).quote
    assert quote
    problem = quote_problem(quote, exchange="BVMF", last_bar=LAST, last_close=20.0, now=now)
    assert (problem and problem.fault) == fault


def test_a_trade_of_this_second_is_not_lost(fake: FakeYahoo, yahoo: Yahoo) -> None:
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)  # the answer comes after the request
    fake.bars["BTC-USD"] = generated_bars("BTC-USD", first=now.date() - timedelta(days=90), last=now.date() - timedelta(days=1))
    show(fake, now, [(now, 20.0)], symbol="BTC-USD")
    quote = fetched(yahoo, "BTC-USD", since=now.date() - timedelta(days=9), through=now.date() - timedelta(days=1)).quote
    assert quote
    assert quote.time == now
