"""Changes of a source in stored bars: detection, cause, and whether a model should be retrained."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.features import compute_features
from forecasting.prices.bars import PRICES
from forecasting.prices.quality import check_bars
from forecasting.prices.restatements import RESCALING, Change, Reason, changes, continues, differing
from tests.fake_yahoo import as_yahoo_adjusts, generated_bars

LAST = date(2024, 6, 28)
RAW = generated_bars("AAA", first=date(2023, 6, 1), last=LAST)
EX_DATE = RAW.index[-2].date()
STORED = RAW[:-2]  # to the session before


def found(fetched: pd.DataFrame, stored: pd.DataFrame = STORED) -> list[Change]:
    return changes(stored, fetched, exchange="XNYS")


def goes_on(fetched: pd.DataFrame, stored: pd.DataFrame = STORED) -> bool:
    """Whether a fetch of the newest bars continues the stored ones."""
    return continues(stored[-10:], fetched[fetched.index >= stored.index[-10]])


def only(fetched: pd.DataFrame, stored: pd.DataFrame = STORED) -> Change:
    (change,) = found(fetched, stored)
    return change


def scaled(ratio: float, *, volumes: float = 1.0, through: pd.Timestamp = STORED.index[-1]) -> pd.DataFrame:
    """The bars, with those up to a session multiplied by a ratio."""
    frame = RAW.copy()
    frame.loc[:through, list(PRICES)] *= ratio
    frame.loc[:through, "volume"] *= volumes
    return frame


def moved(row: int, share: float, *, column: str = "high", bars: pd.DataFrame = RAW) -> pd.DataFrame:
    """The bars with one value changed by a share of it."""
    times = np.ones(len(bars))
    times[row] = 1 + share
    return bars.assign(**{column: bars[column] * times})


def assert_change(change: Change, reason: Reason, day: date, ratio: float | None, bars: int) -> None:
    assert (change.reason, change.date, change.bars) == (reason, day, bars)
    assert change.ratio == pytest.approx(ratio)


# No change


def test_the_same_bars_and_newer_ones_are_no_change() -> None:
    assert goes_on(RAW)
    assert found(RAW) == []


def test_the_noise_of_rounding_is_no_change() -> None:
    noise = 1 + np.random.default_rng(7).uniform(-2e-6, 2e-6, (len(RAW), 4))
    noisy = RAW.assign(**{name: RAW[name] * noise[:, column] for column, name in enumerate(PRICES)})
    assert goes_on(noisy)
    assert found(noisy) == []


@pytest.mark.parametrize("column", PRICES)
@pytest.mark.parametrize("row", [-1, -2])
def test_settling_of_the_newest_bars_is_not_a_change(row: int, column: str) -> None:
    settled = moved(len(STORED) + row, 0.0006, column=column)
    assert goes_on(settled)
    assert found(settled) == []


def test_updated_volumes_are_not_a_change_but_differ() -> None:
    counted = moved(len(STORED) - 1, 0.1, column="volume")
    assert goes_on(counted)
    assert found(counted) == []
    assert list(differing(STORED, counted)) == [STORED.index[-1]]


def test_a_bar_on_a_holiday_is_no_change() -> None:
    juneteenth = pd.DataFrame([[20.0, 20.0, 20.0, 20.0, 0.0]], columns=RAW.columns, index=[pd.Timestamp("2024-06-19")])
    fetched = pd.concat([RAW, juneteenth]).sort_index()
    assert goes_on(fetched)
    assert found(fetched) == []


def test_a_bar_of_the_newest_sessions_that_comes_late_is_no_change() -> None:
    stored = STORED.drop(STORED.index[-2])
    assert goes_on(RAW, stored)
    assert found(RAW, stored) == []


def test_values_that_the_gate_repaired_are_not_a_change() -> None:
    """The source sends the original bar again; the stored bar is the repaired one."""
    row = len(STORED) - 6
    sent = RAW.copy()
    sent.iloc[row, :3] = [0.0, sent["close"].iloc[row] * 0.998, sent["low"].iloc[row]]
    stored = check_bars(sent, symbol="AAA", exchange="XNYS").bars[:-2]
    assert (stored["open"].iloc[row], stored["high"].iloc[row]) != (0.0, sent["high"].iloc[row])
    assert goes_on(sent, stored)


@pytest.mark.parametrize("close", [0.0, np.nan])
def test_a_missing_close_does_not_continue(close: float) -> None:
    assert not goes_on(RAW.assign(close=RAW["close"].mask(RAW.index == STORED.index[-4], close)))


def test_a_bar_that_is_sent_twice_is_no_change() -> None:
    assert goes_on(pd.concat([RAW, RAW[-5:-3]]).sort_index())


def test_any_bars_continue_an_empty_history() -> None:
    assert continues(RAW[:0], RAW)
    assert found(RAW, RAW[:0]) == []


def test_bars_without_common_sessions_do_not_continue() -> None:
    later = generated_bars("AAA", first=LAST + timedelta(days=1), last=LAST + timedelta(days=9))
    assert not goes_on(later)
    assert found(later) == []


# Adjustments: one ratio for all bars before a session


@pytest.mark.parametrize("shares", [2, 7, 20, 1.5, 0.1, 0.01], ids=["2:1", "7:1", "20:1", "3:2", "1:10", "1:100"])
def test_a_split_divides_prices_and_multiplies_volumes(shares: float) -> None:
    fetched = as_yahoo_adjusts(RAW, through=LAST, splits={EX_DATE: shares})
    assert not goes_on(fetched)
    assert_change(only(fetched), Reason.SPLIT, EX_DATE, 1 / shares, len(STORED))


@pytest.mark.parametrize("ratio", [1 / 2, 1 / 3, 2 / 3, 3 / 2, 10], ids=["2:1", "3:1", "3:2", "2:3", "1:10"])
def test_a_split_is_detected_by_its_ratio_if_volumes_are_not_adjusted(ratio: float) -> None:
    assert_change(only(scaled(ratio)), Reason.SPLIT, EX_DATE, ratio, len(STORED))


@pytest.mark.parametrize("share", [0.00007, 0.005, 0.12], ids=["a cent on 143", "usual", "special"])
def test_a_dividend_scales_prices_down_and_leaves_volumes_alone(share: float) -> None:
    cash = share * float(STORED["close"].iloc[-1])
    fetched = as_yahoo_adjusts(RAW, through=LAST, dividends={EX_DATE: cash})
    assert not goes_on(fetched)
    assert_change(only(fetched), Reason.DIVIDEND, EX_DATE, 1 - share, len(STORED))


def test_a_split_and_a_dividend_since_the_last_sync_are_both_reported() -> None:
    earlier = RAW.index[-30].date()
    fetched = as_yahoo_adjusts(RAW, through=LAST, splits={EX_DATE: 4}, dividends={earlier: 0.1})
    dividend, split = found(fetched)
    cash = 0.1 / RAW["close"].iloc[-31]
    assert_change(dividend, Reason.DIVIDEND, earlier, 1 - cash, len(RAW) - 30)
    assert_change(split, Reason.SPLIT, EX_DATE, 1 / 4, len(STORED))


def test_several_dividends_since_the_last_sync_are_all_reported() -> None:
    days = [RAW.index[row].date() for row in (-120, -60, -2)]
    fetched = as_yahoo_adjusts(RAW, through=LAST, dividends=dict.fromkeys(days, 0.1))
    assert [(each.reason, each.date) for each in found(fetched)] == [(Reason.DIVIDEND, day) for day in days]


def test_a_split_on_the_day_of_a_dividend_is_a_split() -> None:
    fetched = as_yahoo_adjusts(RAW, through=LAST, splits={EX_DATE: 4}, dividends={EX_DATE: 0.1})
    assert only(fetched).reason == Reason.SPLIT


def test_a_dividend_is_detected_although_the_source_rounds_to_cents() -> None:
    stored = STORED.round(2)
    fetched = as_yahoo_adjusts(RAW, through=LAST, dividends={EX_DATE: 0.4}).round(2)
    change = only(fetched, stored)
    assert (change.reason, change.date) == (Reason.DIVIDEND, EX_DATE)
    assert change.ratio == pytest.approx(1 - 0.4 / STORED["close"].iloc[-1], rel=1e-3)


def test_a_dividend_and_settling_bars_in_the_same_night_are_one_dividend() -> None:
    fetched = as_yahoo_adjusts(RAW, through=LAST, dividends={EX_DATE: 0.2})
    assert only(moved(len(STORED) - 1, 0.003, column="close", bars=fetched)).reason == Reason.DIVIDEND


def test_an_adjustment_that_comes_a_session_late_has_the_correct_date() -> None:
    fetched = scaled(0.99, through=STORED.index[-3])
    assert_change(only(fetched), Reason.DIVIDEND, STORED.index[-2].date(), 0.99, len(STORED) - 2)


@pytest.mark.parametrize("ratio", [0.01, 100])
def test_a_ratio_of_100_is_a_change_of_unit(ratio: float) -> None:
    assert_change(only(scaled(ratio)), Reason.UNIT, EX_DATE, ratio, len(STORED))


@pytest.mark.parametrize("fetched", [scaled(0.5), scaled(0.99), scaled(100)], ids=["split", "dividend", "unit"])
def test_every_adjustment_matters(fetched: pd.DataFrame) -> None:
    change = only(fetched)
    assert change.reason in RESCALING
    assert change.matters


# Corrections of bars


@pytest.mark.parametrize("column", PRICES)
def test_an_old_bar_that_was_corrected_is_a_correction_that_does_not_matter(column: str) -> None:
    fetched = moved(len(STORED) - 4, 0.01, column=column)
    assert not goes_on(fetched)
    change = only(fetched)
    assert_change(change, Reason.CORRECTION, STORED.index[-4].date(), 1.01, 1)
    assert not change.matters


def test_many_bars_that_were_corrected_matter() -> None:
    noise = np.random.default_rng(3).normal(1, 0.01, 12)
    fetched = RAW.copy()
    fetched.iloc[100:160:5, :4] *= noise[:, None]
    change = only(fetched)
    assert (change.reason, change.date, change.bars, change.matters) == (Reason.CORRECTION, RAW.index[100].date(), 12, True)


def test_many_bars_that_hardly_moved_do_not_matter() -> None:
    noise = np.random.default_rng(3).normal(1, 0.0002, 12)
    fetched = RAW.copy()
    fetched.iloc[100:160:5, :4] *= noise[:, None]
    assert not only(fetched).matters


def test_a_newest_bar_that_moves_by_more_than_settling_is_a_correction() -> None:
    fetched = moved(len(STORED) - 1, 0.08, column="close")
    assert not goes_on(fetched)
    assert only(fetched).reason == Reason.CORRECTION


def test_a_bar_that_was_taken_back_is_a_correction() -> None:
    session = STORED.index[-4]
    assert not goes_on(RAW.drop(session))
    assert_change(only(RAW.drop(session)), Reason.CORRECTION, session.date(), None, 1)


def test_an_old_bar_that_comes_late_is_a_correction_but_continues_the_others() -> None:
    session = STORED.index[-4]
    assert goes_on(RAW, STORED.drop(session))
    assert_change(only(RAW, STORED.drop(session)), Reason.CORRECTION, session.date(), None, 1)


def test_many_bars_that_come_late_matter() -> None:
    assert only(RAW, STORED.drop(STORED.index[50:60])).matters


def test_bars_before_the_first_one_that_is_sent_do_not_count() -> None:
    assert found(RAW[50:]) == []


@pytest.mark.parametrize("shares", [2, 7, 0.1])
def test_a_split_changes_no_feature_so_that_models_stay_valid_until_they_are_retrained(shares: float) -> None:
    after = as_yahoo_adjusts(RAW, through=LAST, splits={EX_DATE: shares}, dividends={EX_DATE: 0.2})[: len(STORED)]
    old, new = (compute_features(bars, ForecastConfig()).features for bars in (STORED, after))
    np.testing.assert_allclose(new, old, rtol=0, atol=2e-5)
