"""The exchange of a symbol, from the source's answer, its ticker or its bars."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from forecasting import market
from forecasting.models import PriceBar, Symbol
from forecasting.prices.sources import UnknownSymbolError
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo, generated_bars, listed_at
from tests.market.histories import FRIDAY, HISTORY, NOW, WEDNESDAY, WEDNESDAY_EVENING, write

pytestmark = pytest.mark.django_db


def asked_for(ticker: str) -> Symbol:
    (symbol,) = Symbol.objects.all().ensure([ticker])
    return symbol


def synced(ticker: str, *, now: datetime = NOW) -> Symbol:
    symbol = asked_for(ticker)
    market.sync(symbol, now=now)
    symbol.refresh_from_db()
    return symbol


def shifted(bars: pd.DataFrame, *, to: str) -> pd.DataFrame:
    """Bars on the newest days up to Thursday, on the given weekdays (Monday first)."""
    days = pd.bdate_range(end="2024-06-27", periods=len(bars), freq="C", weekmask=to).as_unit("us").rename("date")
    return bars.set_index(days)


def test_a_symbol_that_was_only_asked_for_has_no_exchange_yet_but_sessions() -> None:
    symbol = asked_for("PETR4.SA")
    assert (symbol.exchange, symbol.currency, symbol.calendar) == (None, "", "BVMF")


def test_a_symbol_that_the_source_does_not_know_has_no_exchange(yahoo: FakeYahoo) -> None:
    symbol = asked_for("NOPE")
    with pytest.raises(UnknownSymbolError):
        market.sync(symbol, now=NOW)
    symbol.refresh_from_db()
    assert (symbol.exchange, symbol.currency) == (None, "")


@pytest.mark.parametrize(("name", "exchange"), [("NMS", "XNAS"), ("NYQ", "XNYS"), ("what?", "XNYS"), ("", "XNYS")])
def test_the_exchange_is_what_the_source_names_or_else_what_the_ticker_implies(yahoo: FakeYahoo, name: str, exchange: str) -> None:
    yahoo.bars["AAA"], yahoo.scenarios["AAA"] = HISTORY, listed_at(name)
    assert synced("AAA").exchange == exchange


def test_the_exchange_follows_from_the_ticker_where_the_source_names_none(folder: Path) -> None:
    write(folder, generated_bars("AAA.KW", first=date(2024, 1, 2), last=FRIDAY), ticker="AAA.KW")
    symbol = synced("AAA.KW")
    assert (symbol.exchange, symbol.currency) == ("XKUW", "KWD")


def test_a_source_that_names_none_leaves_the_exchange_that_another_one_named(folder: Path) -> None:
    write(folder)
    make_symbol("AAA", exchange="XNAS")
    assert synced("AAA").exchange == "XNAS"


def test_an_exchange_that_is_named_later_keeps_the_stored_bars(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"], yahoo.scenarios["AAA"] = HISTORY[: pd.Timestamp(WEDNESDAY)], listed_at("")
    symbol = synced("AAA", now=WEDNESDAY_EVENING)
    before = list(PriceBar.objects.of(symbol).values_list("pk", flat=True))
    yahoo.bars["AAA"], yahoo.scenarios["AAA"] = HISTORY, listed_at("NMS")
    symbol = synced("AAA")
    assert symbol.exchange == "XNAS"
    assert list(PriceBar.objects.of(symbol).values_list("pk", flat=True))[: len(before)] == before
    assert len(market.training_bars(symbol, now=NOW)) == len(HISTORY)


def test_what_a_symbol_is_comes_with_the_next_sync(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY
    make_symbol("AAA", instrument="ETF")
    assert synced("AAA").instrument == "EQUITY"


def test_a_source_that_does_not_say_what_a_symbol_is_leaves_what_another_one_said(folder: Path) -> None:
    write(folder)
    make_symbol("AAA", instrument="ETF")
    assert (synced("AAA").instrument, asked_for("BBB").instrument) == ("ETF", None)


def test_an_exchange_with_other_sessions_than_the_bars_is_not_taken(yahoo: FakeYahoo) -> None:
    bars = generated_bars("BTC-USD", first=date(2024, 1, 2), last=date(2024, 6, 27))
    yahoo.bars["BTC-USD"], yahoo.scenarios["BTC-USD"] = bars, listed_at("NYQ")
    symbol = synced("BTC-USD")
    assert symbol.exchange == "24/7"
    assert PriceBar.objects.of(symbol).count() == len(bars)


def test_an_unknown_market_learns_its_week_from_its_bars(folder: Path) -> None:
    write(folder, shifted(HISTORY, to="1111001"), ticker="AAA.XY")
    symbol = synced("AAA.XY")
    assert symbol.exchange == "WEEK:MTWT--S"
    assert not market.is_stale(symbol, date(2024, 6, 27), now=datetime(2024, 6, 29, 12, tzinfo=UTC))


def test_an_unknown_market_stays_unknown_until_its_bars_show_another_week(folder: Path) -> None:
    write(folder, HISTORY, ticker="AAA.XY")
    assert synced("AAA.XY").exchange == "WEEKDAYS"


def test_an_unknown_market_learns_from_the_stored_bars_with_every_new_one(folder: Path) -> None:
    bars = shifted(HISTORY, to="1111001")
    write(folder, bars[:-2], ticker="AAA.XY")
    symbol = synced("AAA.XY", now=datetime(2024, 6, 26, 2, tzinfo=UTC))
    Symbol.objects.update(exchange="WEEKDAYS")
    write(folder, bars, ticker="AAA.XY")
    assert synced("AAA.XY").exchange == "WEEK:MTWT--S"
    assert PriceBar.objects.of(symbol).count() == len(bars)


def test_a_market_that_becomes_known_takes_the_place_of_what_was_learned(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA.XY"], yahoo.scenarios["AAA.XY"] = shifted(HISTORY, to="1111001"), listed_at("KUW")
    make_symbol("AAA.XY", exchange="WEEK:MTWT--S")
    assert synced("AAA.XY").exchange == "XKUW"
