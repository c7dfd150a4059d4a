"""The limits for unchanged prices, missing volume and missing sessions: one bar less gives another result."""

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.bars import PRICES
from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.quality import ENOUGH
from tests.prices.even_bars import DAYS, VOLUME, even_bars, from_moves
from tests.prices.gate import checked, dated, found, left_out, only, refusal


def resting(count: int, moving: np.ndarray) -> pd.DataFrame:
    """Bars whose close moves only in the sessions `moving`; their ranges differ, so that no bar repeats another."""
    bars = from_moves(np.where(moving, np.where(np.arange(count) % 2, 0.02, -0.02), 0.0))
    return bars.assign(high=bars["high"] * np.linspace(1, 1.001, count))


def repeated(bars: pd.DataFrame, row: int, length: int, *, volume: float = 0.0) -> pd.DataFrame:
    """The bars with `length` repetitions of the prices of the one before `row`."""
    there = (np.arange(len(bars)) >= row) & (np.arange(len(bars)) < row + length)
    values = {name: float(bars[name].iloc[row - 1]) for name in PRICES} | {"volume": volume}
    return bars.assign(**{name: bars[name].mask(there, value) for name, value in values.items()})


# Unchanged prices


@pytest.mark.parametrize(
    ("row", "length", "verdict"),
    [(400, 28, Verdict.NOTED), (400, 29, Verdict.LEFT_OUT), (200, 34, Verdict.NOTED), (200, 35, Verdict.LEFT_OUT)],
)
def test_a_share_whose_close_often_rests_is_suspended_only_after_longer_runs(row: int, length: int, verdict: Verdict) -> None:
    """7 of 10 closes do not move. In the first year the run itself counts as well."""
    bars = repeated(resting(600, np.arange(600) % 10 < 3), row, length)
    assert dated(checked(bars).findings, verdict)[:1] == [(Rule.STALE, bars.index[row].date())]


def test_every_close_of_the_first_year_counts_but_the_first_did_not_rest() -> None:
    moving = np.arange(600) % 10 < 3
    moving[5] = True  # 185 of 250 closes rest; with 186, a run of 34 bars is only noted
    assert (Rule.STALE, Verdict.LEFT_OUT, 200) in found(repeated(resting(600, moving), 200, 34))


def test_how_often_a_close_rested_more_than_a_year_ago_does_not_matter() -> None:
    moving = (np.arange(600) % 10 < 3) | (np.arange(600) >= 150)
    assert (Rule.STALE, Verdict.LEFT_OUT, 400) in found(repeated(resting(600, moving), 400, 20))


@pytest.mark.parametrize(("length", "noted"), [(5, []), (6, [(Rule.STALE, DAYS[1].date())])])
def test_the_first_bar_repeats_none(length: int, noted: list[object]) -> None:
    assert dated(checked(repeated(even_bars(), 1, length - 1)).findings, Verdict.NOTED) == noted


def test_repeated_prices_with_one_other_volume_are_no_copies() -> None:
    bars = repeated(even_bars(), 100, 8, volume=VOLUME)
    assert left_out(bars) == list(range(100, 108))
    other = bars.assign(volume=bars["volume"].mask(np.arange(300) == 104, 2 * VOLUME))
    assert dated(checked(other).findings, Verdict.NOTED) == [(Rule.STALE, bars.index[100].date())]


def test_copies_are_told_with_their_number_and_dates() -> None:
    (finding, _) = checked(repeated(even_bars(), 100, 6, volume=VOLUME)).findings
    assert finding.text == (
        f"6 bars from {DAYS[100].date()} to {DAYS[105].date()} repeat the prices and volume before, close 50; left out"
    )


def test_after_copies_the_history_does_not_restart() -> None:
    assert left_out(repeated(even_bars(200 + ENOUGH), 100, 6, volume=VOLUME)) == list(range(100, 106))


# Prices without trades


@pytest.mark.parametrize(("untraded", "refused"), [(237, False), (238, True)])
def test_prices_do_not_come_from_trades_if_19_of_20_sessions_of_a_year_have_no_volume(untraded: int, refused: bool) -> None:
    bars = resting(400, np.arange(400) % 3 == 0)
    quiet = bars.assign(volume=bars["volume"].mask((np.arange(400) >= 50) & (np.arange(400) < 50 + untraded), 0.0))
    if refused:
        assert refusal(quiet).findings[0].rule == Rule.NO_TRADES
    else:
        assert checked(quiet).findings == []


@pytest.mark.parametrize(("moved", "refused"), [(124, True), (125, False)])
def test_prices_without_volume_are_quotes_if_half_of_a_years_closes_move(moved: int, refused: bool) -> None:
    moving = np.isin(np.arange(250), 1 + np.linspace(0, 248, moved).astype(int))
    assert moving.sum() == moved
    bars = resting(250, moving).assign(volume=0.0)
    findings = refusal(bars).findings if refused else checked(bars).findings
    assert [each.rule for each in findings if each.verdict != Verdict.LEFT_OUT] == [Rule.NO_TRADES]


def test_less_than_a_year_without_trades_is_no_sign() -> None:
    assert checked(resting(249, np.arange(249) % 3 == 0).assign(volume=0.0)).findings == []


def test_the_untraded_years_end_with_the_last_year_that_has_hardly_any_volume() -> None:
    count = 312 + ENOUGH
    bars = resting(count, (np.arange(count) % 3 == 0) | (np.arange(count) >= 300))
    bars = bars.assign(volume=bars["volume"].mask(np.arange(count) < 300, 0.0))
    finding = only(bars)
    assert left_out(bars) == list(range(312))
    assert f": hardly any bar of {DAYS[0].date()} to {DAYS[311].date()} has volume and most closes do not change" in finding.text


# Sessions without bars


def spaced(spacings: list[int]) -> pd.DataFrame:
    """Even bars, each so many sessions after the previous one."""
    rows = np.cumsum([0, *spacings])
    return even_bars(len(rows)).set_index(DAYS[rows])


@pytest.mark.parametrize(("spacing", "refused"), [(3, False), (4, True)])
def test_bars_are_not_daily_if_they_are_4_sessions_apart(spacing: int, refused: bool) -> None:
    bars = spaced([spacing] * 60)
    if refused:
        assert "are 4 sessions apart: these are not daily bars" in refusal(bars).reason
    else:
        assert checked(bars).findings == []


@pytest.mark.parametrize(("bars", "refused"), [(20, False), (21, True)])
def test_fewer_than_20_distances_are_not_judged(bars: int, refused: bool) -> None:
    few = spaced([4] * (bars - 1))
    assert bool(refusal(few)) if refused else checked(few).findings == []


@pytest.mark.parametrize(("near", "refused"), [(5, False), (4, True)])
def test_bars_are_not_daily_if_4_of_5_are_far_apart(near: int, refused: bool) -> None:
    bars = spaced([1] * 60 + [1] * near + [4] * (20 - near) + [1] * 60)
    assert bool(refusal(bars)) if refused else checked(bars).findings == []


def test_a_history_begins_with_its_first_daily_bars() -> None:
    bars = spaced([4] * 30 + [1] * (ENOUGH + 10))
    assert checked(bars).bars.index[0] == bars.index[34]
    assert f"the bars up to {bars.index[34].date()} are 4 sessions apart" in only(bars).text


def test_a_gap_of_a_year_is_told_with_the_bars_around_it() -> None:
    bars = spaced([1] * 100 + [251] + [1] * ENOUGH)
    told = f"250 sessions between {bars.index[100].date()} and {bars.index[101].date()} have no bar; "
    assert told in only(bars).text


def test_a_noted_gap_is_told_with_the_bar_after_it() -> None:
    bars = spaced([1] * 100 + [8] + [1] * 100)
    finding = only(bars)
    assert (finding.date, finding.value) == (bars.index[101].date(), 7.0)
    assert finding.text == f"7 sessions before {bars.index[101].date()} have no bar"
