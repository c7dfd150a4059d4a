"""Histories like those of real sources: decades-old faults, bars that still settle, and the stored result."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting import market
from forecasting.models import Finding, Restatement, Symbol, Training
from forecasting.prices.findings import Verdict
from tests.factories import make_symbol, make_version
from tests.fake_yahoo import FakeYahoo, generated_bars
from tests.market.histories import assert_stored
from tests.prices.defects import Defect, frozen, missing, rescaled, split, stretched, value

pytestmark = pytest.mark.django_db

FIRST, LAST = date(2019, 1, 2), date(2025, 6, 2)
LONG = generated_bars("OLD", first=FIRST, last=LAST)
NIGHTS = 9
FAULTS: dict[str, tuple[Defect, int]] = {
    "no opens in the first years": (lambda bars, row: bars.assign(open=bars["open"].where(np.arange(len(bars)) >= row, 0.0)), 0),
    "a price below zero": (value("close", -37.6), 1),
    "a close that an auction lifts out of the range": (lambda bars, row: in_auction(bars, row), 0),
    "a high at twice the price": (stretched("high", 2.0), 1),
    "a price in another unit": (rescaled(100.0), 1),
    "seven weeks of suspension": (frozen(34), 334),
    "a split that nobody adjusted for": (split(4.0), 300),
    "a year without bars": (missing(260), 300),
}


def in_auction(bars: pd.DataFrame, row: int) -> pd.DataFrame:
    """The bars with one close 1.5 % above the day's high."""
    there = np.arange(len(bars)) == row
    return bars.assign(close=bars["close"].where(~there, 1.015 * bars["high"]))


def evening_after(day: pd.Timestamp) -> datetime:
    return datetime.combine(day.date() + timedelta(days=1), time(3), tzinfo=UTC)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_long_ago_costs_no_more_than_itself_and_is_told(yahoo: FakeYahoo, name: str) -> None:
    defect, lost = FAULTS[name]
    yahoo.bars["OLD"] = defect(LONG, 300)
    symbol = make_symbol("OLD")
    market.sync(symbol, now=evening_after(LONG.index[-1]))
    stored = market.bars(symbol)
    kept = LONG.drop(LONG.index[300]) if lost == 1 else LONG[-len(stored) :]
    if lost:
        assert_stored(symbol, kept)
    assert len(stored) >= len(yahoo.bars["OLD"]) - lost
    assert stored.index[-1] == LONG.index[-1]
    told = Finding.objects.of(symbol).exclude(verdict=Verdict.NOTED.value)
    assert [each.verdict for each in told] == ["left_out" if lost else "repaired"]
    assert symbol.upstream_state == "ok"


@pytest.mark.parametrize("columns", [("high",), ("low",), ("close", "high", "low"), ("volume",)], ids="-".join)
def test_newest_bars_that_settle_overnight_are_stored_at_the_price_of_one_request(
    yahoo: FakeYahoo, columns: tuple[str, ...]
) -> None:
    symbol = make_symbol("OLD")
    for number, day in enumerate(LONG.index[-NIGHTS:]):
        moved = {column: LONG.loc[day, column] * (1.0006 if column == "high" else 0.9994) for column in columns}
        if "volume" in moved:
            moved["volume"] = round(moved["volume"])
        yahoo.bars["OLD"] = unsettled(LONG[:day], day, moved)
        market.sync(symbol, now=evening_after(day))
        if number == 0:
            make_version(symbol)
        assert_stored(symbol, yahoo.bars["OLD"])
    assert len(yahoo.charts("OLD")) == NIGHTS
    assert not Restatement.objects.exists()
    assert not Training.objects.exists()


def unsettled(bars: pd.DataFrame, day: pd.Timestamp, moved: dict[str, float]) -> pd.DataFrame:
    """The bars on the evening of their last session, when some values will still change slightly."""
    wrong = bars.copy()
    for column, number in moved.items():
        wrong.loc[day, column] = number
    wrong.loc[day, "high"] = wrong.loc[day, ["open", "high", "close"]].max()
    wrong.loc[day, "low"] = wrong.loc[day, ["open", "low", "close"]].min()
    return wrong


def test_a_correction_of_one_old_bar_is_kept_and_trains_nothing(yahoo: FakeYahoo) -> None:
    symbol = trained_until(yahoo, LONG[:-1])
    corrected = LONG.assign(close=LONG["close"].where(LONG.index != LONG.index[-6], 0.995 * LONG["close"]))
    corrected["low"] = corrected[["low", "close"]].min(axis="columns")
    yahoo.bars["OLD"] = corrected
    market.sync(symbol, now=evening_after(LONG.index[-1]))
    assert_stored(symbol, corrected)
    change = Restatement.objects.get()
    assert (change.reason, change.date, change.bars_changed, change.matters) == ("correction", LONG.index[-6].date(), 1, False)
    assert not Training.objects.exists()


def test_a_correction_of_many_bars_trains_again(yahoo: FakeYahoo) -> None:
    symbol = trained_until(yahoo, LONG[:-1])
    noise = np.exp(0.02 * np.random.default_rng(1).standard_normal(400))
    prices = ["open", "high", "low", "close"]
    corrected = LONG.copy()
    corrected.loc[LONG.index[-406:-6], prices] = LONG.loc[LONG.index[-406:-6], prices].mul(noise, axis=0)
    yahoo.bars["OLD"] = corrected
    market.sync(symbol, now=evening_after(LONG.index[-1]))
    pd.testing.assert_frame_equal(market.bars(symbol), corrected, check_freq=False, rtol=1e-5)
    assert Restatement.objects.get().matters
    assert Training.objects.get().reason == "data_revised"


def trained_until(yahoo: FakeYahoo, bars: pd.DataFrame) -> Symbol:
    """A symbol with these bars and a version trained on them."""
    yahoo.bars["OLD"] = bars
    symbol = make_symbol("OLD")
    market.sync(symbol, now=evening_after(bars.index[-1]))
    make_version(symbol)
    return symbol
