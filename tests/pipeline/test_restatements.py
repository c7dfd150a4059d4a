"""What a source changed in bars that were stored: noticed, and told apart."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.bars import PRICES
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.features import compute_features
from forecasting.pipeline.restatements import Change, Reason, agree, change, recounted
from tests.fake_yahoo import as_yahoo_adjusts, generated_bars

LAST = date(2024, 6, 28)
RAW = generated_bars("AAA", first=date(2023, 6, 1), last=LAST)
EX_DATE = RAW.index[-2].date()
STORED = RAW[:-2]  # to the session before


def found(fetched: pd.DataFrame, stored: pd.DataFrame = STORED) -> Change | None:
    return change(stored, fetched, exchange="XNYS")


def agrees(fetched: pd.DataFrame, stored: pd.DataFrame = STORED) -> bool:
    return agree(stored[-10:], fetched[fetched.index >= stored.index[-10]], exchange="XNYS")


def scaled(ratio: float, *, volumes: float = 1.0, through: pd.Timestamp = STORED.index[-1]) -> pd.DataFrame:
    """The bars through a session multiplied by a ratio."""
    frame = RAW.copy()
    frame.loc[:through, list(PRICES)] *= ratio
    frame.loc[:through, "volume"] *= volumes
    return frame


def assert_change(change: Change | None, reason: Reason, day: date, ratio: float | None, bars: int) -> None:
    assert change
    assert (change.reason, change.date, change.bars) == (reason, day, bars)
    assert change.ratio == pytest.approx(ratio)


def test_the_same_bars_and_newer_ones_are_no_change() -> None:
    assert agrees(RAW)
    assert found(RAW) is None


def test_the_noise_of_rounding_is_no_change() -> None:
    noise = 1 + np.random.default_rng(7).uniform(-2e-6, 2e-6, (len(RAW), 4))
    noisy = RAW.assign(**{name: RAW[name] * noise[:, column] for column, name in enumerate(PRICES)})
    assert agrees(noisy)
    assert found(noisy) is None


@pytest.mark.parametrize("shares", [2, 7, 20, 1.5, 0.1, 0.01], ids=["2:1", "7:1", "20:1", "3:2", "1:10", "1:100"])
def test_a_split_divides_prices_and_multiplies_volumes(shares: float) -> None:
    fetched = as_yahoo_adjusts(RAW, through=LAST, splits={EX_DATE: shares})
    assert not agrees(fetched)
    assert_change(found(fetched), Reason.SPLIT, EX_DATE, 1 / shares, len(STORED))


@pytest.mark.parametrize("ratio", [1 / 2, 1 / 3, 2 / 3, 3 / 2, 10], ids=["2:1", "3:1", "3:2", "2:3", "1:10"])
def test_a_split_is_known_by_its_ratio_where_volumes_are_not_adjusted(ratio: float) -> None:
    change = found(scaled(ratio))
    assert change
    assert change.reason == Reason.SPLIT
    assert change.ratio == pytest.approx(ratio)


@pytest.mark.parametrize("share", [0.00007, 0.005, 0.12], ids=["a cent on 143", "usual", "special"])
def test_a_dividend_scales_prices_down_and_leaves_volumes_alone(share: float) -> None:
    cash = share * float(STORED["close"].iloc[-1])
    fetched = as_yahoo_adjusts(RAW, through=LAST, dividends={EX_DATE: cash})
    assert not agrees(fetched)
    assert_change(found(fetched), Reason.DIVIDEND, EX_DATE, 1 - share, len(STORED))


def test_a_split_on_the_day_of_a_dividend_is_a_split() -> None:
    fetched = as_yahoo_adjusts(RAW, through=LAST, splits={EX_DATE: 4}, dividends={EX_DATE: 0.1})
    change = found(fetched)
    assert change
    assert change.reason == Reason.SPLIT


def test_an_adjustment_that_comes_a_session_late_is_dated_right() -> None:
    fetched = scaled(0.99, through=STORED.index[-3])
    assert_change(found(fetched), Reason.DIVIDEND, STORED.index[-2].date(), 0.99, len(STORED) - 2)


@pytest.mark.parametrize("column", PRICES)
def test_one_bar_that_was_corrected_is_a_correction(column: str) -> None:
    fetched = RAW.copy()
    session = STORED.index[-4]
    fetched.loc[session, column] *= 1.001
    assert not agrees(fetched)
    assert_change(found(fetched), Reason.CORRECTION, session.date(), 1.001, 1)


def test_prices_that_rise_as_a_whole_are_a_correction() -> None:
    change = found(scaled(1.004))
    assert change
    assert change.reason == Reason.CORRECTION


def test_a_session_that_came_or_went_is_a_correction() -> None:
    session = STORED.index[-4]
    assert not agrees(RAW.drop(session))
    assert_change(found(RAW.drop(session)), Reason.CORRECTION, session.date(), None, 1)
    assert not agrees(RAW, stored=STORED.drop(session))
    assert_change(found(RAW, stored=STORED.drop(session)), Reason.CORRECTION, session.date(), None, 1)


def test_a_bar_on_a_holiday_is_no_change() -> None:
    juneteenth = pd.Timestamp("2024-06-19")
    fetched = RAW.copy()
    fetched.loc[juneteenth] = [20.0, 20.0, 20.0, 20.0, 0.0]
    fetched = fetched.sort_index()
    assert agrees(fetched)
    assert found(fetched) is None


@pytest.mark.parametrize(("ratio", "is_unit"), [(0.01, True), (100, True), (1.02, False)])
def test_a_hundredfold_without_more_shares_is_another_unit(ratio: float, is_unit: bool) -> None:
    change = found(scaled(ratio))
    assert change
    assert (change.reason, change.is_other_unit) == (Reason.CORRECTION, is_unit)


def test_volumes_that_are_still_counted_are_no_change_but_are_found() -> None:
    fetched = RAW.copy()
    fetched.loc[STORED.index[-1], "volume"] += 1000
    assert agrees(fetched)
    assert found(fetched) is None
    volumes = recounted(STORED, fetched)
    assert (list(volumes.index), volumes.tolist()) == ([STORED.index[-1]], [fetched.loc[STORED.index[-1], "volume"]])


def test_bars_without_anything_in_common_do_not_agree() -> None:
    later = generated_bars("AAA", first=LAST + timedelta(days=1), last=LAST + timedelta(days=9))
    assert not agrees(later)


@pytest.mark.parametrize("shares", [2, 7, 0.1])
def test_a_split_changes_no_feature_so_that_models_stay_right_until_they_are_trained_again(shares: float) -> None:
    after = as_yahoo_adjusts(RAW, through=LAST, splits={EX_DATE: shares}, dividends={EX_DATE: 0.2})[: len(STORED)]
    old, new = (compute_features(bars, ForecastConfig()).features for bars in (STORED, after))
    np.testing.assert_allclose(new, old, rtol=0, atol=2e-5)
