"""Replays real prices day by day through the fake Yahoo. The files lie beside the checkout and must not be part of it."""

import json
import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecasting import market
from forecasting.models import PriceBar, Restatement, Symbol
from forecasting.prices.bars import COLUMNS
from forecasting.prices.sources import BadDataError, PriceSourceError, RateLimitedError, UnknownSymbolError
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo, as_yahoo_adjusts, replayed

pytestmark = pytest.mark.django_db

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RAW, RECORDED = DATA / "raw", DATA / "yahoo_json" / "body"
DESCRIBED = DATA / "yahoo_json" / "documented_not_recorded"
SPLITS: dict[str, dict[date, float]] = {
    "AAPL": {date(2000, 6, 21): 2, date(2005, 2, 28): 2, date(2014, 6, 9): 7, date(2020, 8, 31): 4},
    "IBM": {},
}
# Sessions with a wrong price in these files, such as a low at a tenth of the open. The gate leaves them out.
WRONG = {
    "AAPL": [date(2009, 9, 21), date(2010, 8, 31), date(2011, 1, 3)],
    "IBM": [date(2002, 12, 23)],
}
FIRST_SYNC = 100  # sessions before it
STEP = int(os.environ.get("REPLAY_STEP", "60"))  # sessions from sync to sync; around a split, every session. 1: each, some minutes
AROUND = timedelta(days=16)
WHOLE_EVERY = 5  # syncs; the newest bars are compared after each
WITH_BARS = ("aapl_normal_1bar", "aapl_split_and_dividend", "btc_usd_crypto", "msft_1y_dividends", "nvda_1y_split")
ELSEWHERE = ("ocdo_l_lse_pence", "wsu_de_xetra")
LATER = datetime(2025, 7, 1, 12, tzinfo=UTC)  # than every recorded bar


def beside_the_checkout(file: Path) -> Path:
    """The file; skips the test with a reason if it is missing."""
    if not file.is_file():
        pytest.skip(f"there is no {file.name} beside the checkout")
    return file


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame, *, ticker: str) -> None:
    expected = expected.drop([pd.Timestamp(day) for day in WRONG[ticker]], errors="ignore")[-len(found) :]
    pd.testing.assert_frame_equal(found, expected, check_freq=False, check_index_type=False, rtol=1e-12)


def is_near_split(ticker: str, raw: pd.DataFrame, row: int) -> bool:
    return any(abs(raw.index[row].date() - day) < AROUND for day in SPLITS[ticker])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ticker", SPLITS)
def test_bars_stored_in_several_syncs_are_those_of_one_full_fetch(yahoo: FakeYahoo, ticker: str) -> None:
    file = beside_the_checkout(RAW / f"{ticker}.csv")
    raw = pd.read_csv(file, index_col="date", parse_dates=["date"])[list(COLUMNS)].astype(float)
    symbol, adjusted = make_symbol(ticker), raw
    rows = [row for row in range(FIRST_SYNC, len(raw)) if row % STEP == 0 or row == len(raw) - 1 or is_near_split(ticker, raw, row)]
    for number, row in enumerate(rows):
        day = raw.index[row].date()
        if number == 0 or day in SPLITS[ticker]:
            adjusted = pd.concat([as_yahoo_adjusts(raw, through=day, splits=SPLITS[ticker]), raw[row + 1 :]])
        yahoo.bars[ticker] = adjusted[: row + 1]
        market.sync(symbol, now=datetime.combine(day, time(22), tzinfo=UTC))
        assert_equal(market.recent_bars([symbol], count=12)[symbol.pk], adjusted[row - 15 : row + 1], ticker=ticker)
        if number % WHOLE_EVERY == 0 or day in SPLITS[ticker]:
            assert_equal(market.bars(symbol), adjusted[: row + 1], ticker=ticker)
    assert_equal(market.bars(symbol), adjusted, ticker=ticker)
    found = [(each.reason, each.date, f"{each.ratio:.6f}") for each in Restatement.objects.order_by("date")]
    assert found == [("split", day, f"{1 / shares:.6f}") for day, shares in SPLITS[ticker].items()]
    assert len(yahoo.charts(ticker)) == len(rows) + len(found)


@pytest.mark.parametrize("name", [*WITH_BARS, *ELSEWHERE])
def test_a_recorded_answer_is_stored_bar_by_bar(yahoo: FakeYahoo, name: str) -> None:
    symbol, result = recorded(yahoo, name)
    (quote,), adjusted = result["indicators"]["quote"], result["indicators"].get("adjclose")
    stored = market.bars(symbol)["close"].tolist()
    assert stored == pytest.approx(adjusted[0]["adjclose"] if adjusted else quote["close"])
    assert len(stored) == len(result["timestamp"])
    assert (symbol.currency, symbol.upstream_state) == (result["meta"]["currency"], "ok")


def test_a_recorded_answer_without_bars_stores_nothing(yahoo: FakeYahoo) -> None:
    recorded(yahoo, "aapl_weekend_no_timestamp")
    assert not PriceBar.objects.exists()


def test_a_recorded_answer_of_an_unknown_shape_is_refused(yahoo: FakeYahoo) -> None:
    with pytest.raises(BadDataError, match="unknown format"):
        recorded(yahoo, "fake_no_timestamp_weird_quote")


@pytest.mark.parametrize(("name", "error"), [("rate_limit_429", RateLimitedError), ("unknown_symbol_404", UnknownSymbolError)])
def test_a_refusal_as_others_have_described_it_is_understood(yahoo: FakeYahoo, name: str, error: type[PriceSourceError]) -> None:
    described = json.loads(beside_the_checkout(DESCRIBED / f"{name}.json").read_text())
    body = described.get("body_text") or json.dumps(described["body"])
    yahoo.scenarios["AAPL"] = replayed(body.encode(), status=described["status"])
    with pytest.raises(error):
        market.sync(make_symbol("AAPL"), now=LATER)


def recorded(yahoo: FakeYahoo, name: str) -> tuple[Symbol, dict[str, Any]]:
    """The symbol of a recorded answer, synced from it on a later day, and the result in the answer."""
    body = beside_the_checkout(RECORDED / f"{name}.json").read_bytes()
    result = json.loads(body)["chart"]["result"][0]
    symbol = make_symbol(result["meta"]["symbol"])
    yahoo.scenarios[symbol.ticker] = replayed(body)
    market.sync(symbol, now=LATER)
    return symbol, result
