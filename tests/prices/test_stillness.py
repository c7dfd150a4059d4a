"""Unchanged prices, prices without trades, and sessions without bars."""

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.bars import PRICES
from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.price_digits import written
from forecasting.prices.quality import ENOUGH
from tests.pipeline.market_data import replaced, session_bars
from tests.prices.gate import checked, dated, found, left_out, only, refusal

ROW = 300


@pytest.fixture
def bars() -> pd.DataFrame:
    return session_bars(600)


def frozen(bars: pd.DataFrame, sessions: int, *, volume: float = 0.0, row: int = ROW) -> pd.DataFrame:
    """The bars, in which some sessions repeat the prices of the previous one."""
    before = {column: float(bars[column].iloc[row - 1]) for column in PRICES}
    return replaced(bars, slice(row, row + sessions), **before, volume=volume)


def thin(bars: pd.DataFrame, share: float) -> pd.DataFrame:
    """The bars with trades on only a share of the days; the others repeat the previous close without volume."""
    quiet = np.random.default_rng(5).random(len(bars)) >= share
    quiet[0] = False
    last = bars["close"].mask(quiet).ffill()
    return bars.assign(**{column: bars[column].mask(quiet, last) for column in PRICES}, volume=bars["volume"].mask(quiet, 0.0))


def one_price(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars as quotes of a fund: one price per day and no volume."""
    return bars.assign(open=bars["close"], high=bars["close"], low=bars["close"], volume=0.0)


# Stale runs


def test_a_few_sessions_without_trades_are_fine(bars: pd.DataFrame) -> None:
    assert checked(frozen(bars, 4)).findings == []


@pytest.mark.parametrize("sessions", [5, 19])
def test_prices_without_change_for_some_weeks_are_noted(bars: pd.DataFrame, sessions: int) -> None:
    finding = only(frozen(bars, sessions))
    assert (finding.rule, finding.verdict, finding.date) == (Rule.STALE, Verdict.NOTED, bars.index[ROW].date())
    first, last, close = bars.index[ROW].date(), bars.index[ROW + sessions - 1].date(), bars["close"].iloc[ROW - 1]
    assert finding.text == f"{sessions} bars from {first} to {last} repeat the prices before, close {written(close)}"


@pytest.mark.parametrize("sessions", [20, 34, 60])
def test_a_suspension_of_a_month_or_more_is_left_out(bars: pd.DataFrame, sessions: int) -> None:
    suspended = frozen(bars, sessions)
    assert left_out(suspended) == list(range(ROW, ROW + sessions))
    assert found(suspended) == [(Rule.STALE, Verdict.LEFT_OUT, ROW), (Rule.GAP, Verdict.NOTED, ROW + sessions)]


def test_after_a_suspension_the_history_restarts_if_enough_bars_follow() -> None:
    suspended = frozen(session_bars(400 + ENOUGH), 40, row=360)
    assert left_out(suspended) == list(range(400))
    assert checked(suspended).findings[-1].text.endswith(": the share was suspended; the 400 bars before were left out")


def test_copies_of_a_bar_are_left_out_within_a_week(bars: pd.DataFrame) -> None:
    copies = frozen(bars, 5, volume=float(bars["volume"].iloc[ROW - 1]))
    assert left_out(copies) == list(range(ROW, ROW + 5))
    assert "repeat the prices and volume before" in checked(copies).findings[0].text


def test_copies_at_the_end_are_found(bars: pd.DataFrame) -> None:
    assert left_out(frozen(bars, 5, volume=float(bars["volume"].iloc[-6]), row=595)) == list(range(595, 600))


@pytest.mark.parametrize("share", [1 / 2, 1 / 3])
def test_an_illiquid_share_without_price_change_is_not_suspended(bars: pd.DataFrame, share: float) -> None:
    assert left_out(frozen(thin(bars, share), 8)) == []


def test_a_long_pause_of_an_illiquid_share_is_not_a_suspension() -> None:
    quiet = thin(session_bars(1100), 1 / 5)
    assert left_out(frozen(quiet, 24)) == []
    assert checked(frozen(quiet, 120)).findings[-1].rule == Rule.STALE


# Prices without trades


def test_a_fund_with_one_price_a_day_and_no_volume_is_accepted_and_noted(bars: pd.DataFrame) -> None:
    fund = one_price(bars)
    finding = only(fund)
    assert left_out(fund) == []
    assert (finding.rule, finding.verdict) == (Rule.NO_TRADES, Verdict.NOTED)
    assert finding.text == "prices come without volume, as those of funds and indices do"


def test_a_price_that_never_moves_is_refused(bars: pd.DataFrame) -> None:
    constant = replaced(bars, slice(None), open=1.0, high=1.0, low=1.0, close=1.0, volume=0.0)
    assert refusal(constant).findings[0].rule == Rule.NO_TRADES


def test_a_share_that_was_suspended_for_most_of_a_short_history_is_refused() -> None:
    short = frozen(session_bars(80), 50, row=30)
    assert refusal(short).reason.startswith("50 of 80 bars cannot be used, for instance: 50 bars from ")


def test_quotes_without_trades_that_rarely_change_are_refused(bars: pd.DataFrame) -> None:
    error = refusal(thin(bars, 1 / 3).assign(volume=0.0))
    assert error.findings[0].rule == Rule.NO_TRADES
    assert error.reason.startswith(
        f"hardly any bar of 2020-01-02 to {bars.index[-1].date()} has volume and most closes do not change"
    )
    assert "; only 0 good bars follow" in error.reason


def test_after_years_without_trades_the_history_begins_with_the_first_ones() -> None:
    late = thin(session_bars(1200), 1 / 3)
    late = late.assign(volume=late["volume"].mask(np.arange(1200) < 600, 0.0))
    passed = checked(late)
    assert late.index[600] <= passed.bars.index[0] <= late.index[650]
    assert (Rule.NO_TRADES, passed.bars.index[0].date()) in dated(passed.findings, Verdict.LEFT_OUT)


def test_half_a_year_without_volume_is_fine(bars: pd.DataFrame) -> None:
    assert checked(replaced(bars, slice(50, 175), volume=0)).findings == []


# Gaps


@pytest.mark.parametrize(("sessions", "noted"), [(4, []), (5, [5.0]), (249, [249.0])])
def test_a_gap_is_noted_from_a_week_on(sessions: int, noted: list[float]) -> None:
    bars = session_bars(1100)
    gappy = checked(bars.drop(bars.index[ROW : ROW + sessions]))
    assert len(gappy.bars) == 1100 - sessions
    assert [each.value for each in gappy.findings if each.rule == Rule.GAP] == noted


def test_after_a_year_without_bars_the_history_restarts() -> None:
    bars = session_bars(1100)
    finding = only(bars.drop(bars.index[ROW : ROW + 250]))
    assert (finding.rule, finding.verdict, finding.date) == (Rule.GAP, Verdict.LEFT_OUT, bars.index[ROW + 250].date())
    assert "250 sessions between" in finding.text


def test_weekly_bars_that_turn_daily_begin_with_the_daily_ones() -> None:
    bars = session_bars(1100)
    passed = checked(pd.concat([bars[:500:5], bars[500:]]))
    assert bars.index[500] <= passed.bars.index[0] <= bars.index[510]
    assert "5 sessions apart: these are not daily bars" in passed.findings[0].text


def test_weekly_bars_alone_are_refused() -> None:
    assert "these are not daily bars" in refusal(session_bars(600)[::5]).reason


def test_missing_bars_of_an_illiquid_share_are_not_sparse_bars() -> None:
    bars = session_bars(900)
    traded = np.random.default_rng(7).random(900) < 0.5
    assert len(checked(bars[traded]).bars) == int(traded.sum())
