"""Prices that stand still, and years without trades."""

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.bars import PRICES
from forecasting.pipeline.findings import Finding, Rule, Verdict
from forecasting.pipeline.stillness import stillness_findings
from tests.pipeline.market_data import replaced, session_bars

ROW = 100


@pytest.fixture
def bars() -> pd.DataFrame:
    return session_bars(600)


def frozen(bars: pd.DataFrame, sessions: int, *, volume: float = 0.0, row: int = ROW) -> pd.DataFrame:
    """The bars of some sessions repeat the prices of the one before."""
    before = {column: float(bars[column].iloc[row - 1]) for column in PRICES}
    return replaced(bars, slice(row, row + sessions), **before, volume=volume)


def only(bars: pd.DataFrame, *, symbol: str = "TEST") -> Finding:
    (finding,) = stillness_findings(bars, symbol=symbol)
    return finding


def test_prices_that_move_are_fine(bars: pd.DataFrame) -> None:
    assert stillness_findings(bars, symbol="TEST") == []


def test_a_week_without_trades_is_fine(bars: pd.DataFrame) -> None:
    assert stillness_findings(frozen(bars, 4), symbol="TEST") == []


@pytest.mark.parametrize(("sessions", "verdict"), [(5, Verdict.NOTED), (19, Verdict.NOTED), (20, Verdict.REFUSED)])
def test_a_stale_run_is_noted_and_refused_from_a_month_on(bars: pd.DataFrame, sessions: int, verdict: Verdict) -> None:
    finding = only(frozen(bars, sessions))
    assert (finding.rule, finding.verdict, finding.date) == (Rule.STALE, verdict, bars.index[ROW].date())
    first, last, close = bars.index[ROW].date(), bars.index[ROW + sessions - 1].date(), bars["close"].iloc[ROW - 1]
    assert finding.text == f"{sessions} bars from {first} to {last} repeat the prices before, close {close:g}"


def test_copies_of_a_bar_are_refused_within_a_week(bars: pd.DataFrame) -> None:
    finding = only(frozen(bars, 5, volume=bars["volume"].iloc[ROW - 1]))
    assert finding.verdict == Verdict.REFUSED
    assert "repeat the prices and volume before" in finding.text


def test_copies_at_the_end_are_found(bars: pd.DataFrame) -> None:
    assert only(frozen(bars, 5, volume=bars["volume"].iloc[-6], row=595)).verdict == Verdict.REFUSED


def test_the_longest_runs_come_first(bars: pd.DataFrame) -> None:
    still = frozen(frozen(bars, 6), 30, row=300)
    assert [each.verdict for each in stillness_findings(still, symbol="TEST")] == [Verdict.REFUSED, Verdict.NOTED]


def test_a_year_of_quotes_without_trades_is_refused(bars: pd.DataFrame) -> None:
    finding = only(replaced(bars, slice(50, 300), volume=0))
    assert (finding.rule, finding.verdict, finding.value) == (Rule.NO_TRADES, Verdict.REFUSED, 238)
    assert finding.text.startswith("238 of the 250 bars up to ")


def test_half_a_year_of_quotes_without_trades_is_not(bars: pd.DataFrame) -> None:
    assert stillness_findings(replaced(bars, slice(50, 175), volume=0), symbol="TEST") == []


@pytest.mark.parametrize("symbol", ["^BVSP", "EURUSD=X", "GC=F"])
def test_what_is_no_share_may_have_no_volume(bars: pd.DataFrame, symbol: str) -> None:
    assert stillness_findings(bars.assign(volume=0.0), symbol=symbol) == []


def test_an_illiquid_share_passes(bars: pd.DataFrame) -> None:
    quiet = np.random.default_rng(5).random(len(bars)) < 0.5
    last = bars["close"].mask(quiet).ffill()
    bars = bars.assign(**{column: bars[column].mask(quiet, last) for column in PRICES}, volume=bars["volume"].mask(quiet, 0.0))
    assert [each for each in stillness_findings(bars, symbol="TEST") if each.verdict == Verdict.REFUSED] == []
