"""Checks of single bars: repaired if the correct value is certain, left out if not."""

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.bars import PRICES
from forecasting.prices.findings import MOST_LISTED, Rule, Verdict
from tests.pipeline.market_data import replaced, rescaled, session_bars
from tests.prices.gate import checked, found, left_out, only

ROW = 204  # an ordinary session
ONE = slice(ROW, ROW + 1)


@pytest.fixture
def bars() -> pd.DataFrame:
    return session_bars()


def missing_high(bars: pd.DataFrame, share: float, row: int = ROW) -> pd.DataFrame:
    """The bars with one high below its close by this share."""
    close = float(bars["high"].iloc[row])
    low = min(float(bars["low"].iloc[row]), close * (1 - share))
    opened = min(float(bars["open"].iloc[row]), close * (1 - share))
    return replaced(bars, slice(row, row + 1), open=opened, high=close * (1 - share), low=low, close=close)


def calm(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars with moves as small as a currency pair's: the usual range is 0.5 %."""
    return bars.assign(**{column: (bars[column] / 50) ** 0.2 for column in PRICES})


def traded(bars: pd.DataFrame, times: float) -> pd.DataFrame:
    """The bars with more volume in one session, by this factor."""
    return rescaled(bars, ONE, times, columns=("volume",))


# Missing and invalid values


@pytest.mark.parametrize("given", [[], ["open"], ["open", "close"]], ids=["nothing", "an open", "open and close"])
def test_a_bar_of_which_more_or_less_than_a_close_is_given_is_not_made_up(bars: pd.DataFrame, given: list[str]) -> None:
    missing = {name: np.nan for name in PRICES if name not in given}

    assert left_out(replaced(bars, ONE, **missing)) == [ROW]


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_missing_old_opens_become_the_previous_close_within_the_range(bars: pd.DataFrame, value: float) -> None:
    old = replaced(bars, slice(ROW), open=value)
    expected = bars["close"].shift(1).clip(bars["low"], bars["high"])[1:ROW]
    np.testing.assert_array_equal(checked(old).bars["open"][1:ROW], expected)
    assert found(old) == [(Rule.PRICE, Verdict.REPAIRED, 0)]


def test_a_missing_open_of_the_first_bar_becomes_its_close(bars: pd.DataFrame) -> None:
    passed = checked(replaced(bars, slice(1), open=0.0)).bars
    assert passed["open"].iloc[0] == passed["close"].iloc[0]


def test_a_repaired_stretch_is_one_finding_with_first_and_last_date(bars: pd.DataFrame) -> None:
    text = only(replaced(bars, slice(10, 13), open=0.0)).text
    assert text.startswith(f"no open on {bars.index[10].date()} to {bars.index[12].date()} (3 bars); the previous close, ")


def test_a_bar_with_only_a_close_uses_it_for_all_prices(bars: pd.DataFrame) -> None:
    close = float(bars["close"].iloc[ROW])
    alone = replaced(bars, ONE, open=np.nan, high=np.nan, low=np.nan)
    assert checked(alone).bars.iloc[ROW][list(PRICES)].tolist() == [close] * 4
    assert found(alone) == [(Rule.PRICE, Verdict.REPAIRED, ROW)]


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_an_invalid_volume_becomes_zero(bars: pd.DataFrame, value: float) -> None:
    uncounted = replaced(bars, ONE, volume=value)
    assert checked(uncounted).bars["volume"].iloc[ROW] == 0
    assert found(uncounted) == [(Rule.VOLUME, Verdict.REPAIRED, ROW)]


@pytest.mark.parametrize("column", ["high", "low", "close"])
@pytest.mark.parametrize("value", [0.0, -37.6, np.nan, np.inf])
def test_a_bar_without_a_high_low_or_close_is_left_out(bars: pd.DataFrame, column: str, value: float) -> None:
    bad = replaced(bars, ONE, **{column: value})
    assert left_out(bad) == [ROW]
    assert found(bad) == [(Rule.PRICE, Verdict.LEFT_OUT, ROW)]
    assert only(bad).value == (value if np.isfinite(value) else None)


def test_a_bar_left_out_is_reported_with_its_date_and_value(bars: pd.DataFrame) -> None:
    finding = only(replaced(bars, ONE, close=-37.6))
    day = bars.index[ROW].date()
    assert (finding.date, finding.value) == (day, -37.6)
    assert finding.text == f"close is -37.6 on {day}, which is not a price; left out like a day without trading"


def test_the_value_of_a_finding_is_none_if_it_is_not_a_number(bars: pd.DataFrame) -> None:
    assert only(replaced(bars, ONE, close=np.nan)).value is None


def test_findings_of_one_kind_are_listed_up_to_a_limit(bars: pd.DataFrame) -> None:
    wrong = bars["volume"].mask(np.arange(len(bars)) % 2 == 0, -1.0)
    findings = checked(bars.assign(volume=wrong)).findings
    assert len(findings) == MOST_LISTED
    assert findings[-1].text.endswith("; 130 more follow")


# Bars of one date


def test_of_equal_bars_of_one_date_the_first_stays(bars: pd.DataFrame) -> None:
    passed = checked(pd.concat([bars, bars.iloc[[ROW]]]))
    pd.testing.assert_frame_equal(passed.bars, bars, check_freq=False)


def test_different_bars_of_one_date_are_all_left_out(bars: pd.DataFrame) -> None:
    passed = checked(pd.concat([bars, rescaled(bars.iloc[[ROW]], slice(None), 1.01)]))
    assert bars.index[ROW] not in passed.bars.index
    (finding,) = passed.findings
    assert (finding.rule, finding.verdict, finding.date) == (Rule.DUPLICATE, Verdict.LEFT_OUT, bars.index[ROW].date())


# Ranges that miss the open or close


@pytest.mark.parametrize("share", [0.003, 0.02, 0.04])
def test_a_high_that_misses_the_close_by_little_is_widened(bars: pd.DataFrame, share: float) -> None:
    missed = missing_high(bars, share)
    assert checked(missed).bars["high"].iloc[ROW] == missed["close"].iloc[ROW]
    finding = only(missed)
    assert (finding.rule, finding.verdict, finding.date) == (Rule.RANGE, Verdict.REPAIRED, bars.index[ROW].date())
    assert finding.value == pytest.approx(share)


def test_a_low_that_misses_the_close_by_little_is_widened(bars: pd.DataFrame) -> None:
    low = float(bars[["open", "close"]].iloc[ROW].min()) * 1.003
    assert checked(replaced(bars, ONE, low=low)).bars["low"].iloc[ROW] == pytest.approx(low / 1.003)


def test_a_high_that_misses_the_close_by_more_than_an_auction_is_left_out(bars: pd.DataFrame) -> None:
    missed = missing_high(bars, 0.06)
    assert left_out(missed) == [ROW]
    assert found(missed) == [(Rule.RANGE, Verdict.LEFT_OUT, ROW)]


@pytest.mark.parametrize(("share", "out"), [(0.003, []), (0.009, []), (0.04, [ROW])])
def test_how_far_a_high_may_miss_depends_on_the_usual_range(bars: pd.DataFrame, share: float, out: list[int]) -> None:
    assert left_out(missing_high(calm(bars), share)) == out


def test_float_noise_is_repaired_without_a_finding(bars: pd.DataFrame) -> None:
    noisy = bars.assign(high=bars[["open", "close"]].max(axis="columns") * (1 - 1e-8))
    passed = checked(noisy)
    assert (passed.bars["high"] >= passed.bars["close"]).all()
    assert passed.findings == []


# Prices far from their bar's others


@pytest.mark.parametrize(("column", "factor"), [("high", 1.5), ("high", 10.0), ("low", 0.6), ("low", 0.01)])
def test_a_high_or_low_far_from_all_else_is_left_out(bars: pd.DataFrame, column: str, factor: float) -> None:
    far = rescaled(bars, ONE, factor, columns=(column,))
    assert found(far) == [(Rule.UNIT, Verdict.LEFT_OUT, ROW)]
    assert left_out(far) == [ROW]


@pytest.mark.parametrize(("factor", "column"), [(1.5, "high"), (0.5, "low"), (0.01, "low")])
def test_an_open_far_from_both_closes_beside_it_is_left_out(bars: pd.DataFrame, factor: float, column: str) -> None:
    far = rescaled(bars, ONE, factor, columns=("open",))
    far = replaced(far, ONE, **{column: float(far["open"].iloc[ROW])})
    assert left_out(far) == [ROW]


def test_a_wick_among_the_first_bars_is_left_out_as_well(bars: pd.DataFrame) -> None:
    early = slice(10, 11)

    assert left_out(replaced(bars, early, high=1.5 * float(bars["high"].iloc[10]))) == [10]


def test_the_second_wick_of_a_month_is_left_out_like_the_first(bars: pd.DataFrame) -> None:
    far = rescaled(bars, slice(ROW, ROW + 11, 10), 2.0, columns=("high",))
    assert left_out(far) == [ROW, ROW + 10]


def test_a_flash_crash_on_high_volume_is_accepted(bars: pd.DataFrame) -> None:
    crash = traded(rescaled(bars, ONE, 0.6, columns=("low",)), 8)
    assert checked(crash).findings == []
    assert left_out(crash) == []


def test_a_hundredth_within_a_bar_is_never_accepted(bars: pd.DataFrame) -> None:
    assert left_out(traded(rescaled(bars, ONE, 0.01, columns=("low",)), 100)) == [ROW]


def test_wide_ranges_after_wide_ranges_are_accepted(bars: pd.DataFrame) -> None:
    wild = rescaled(rescaled(bars, slice(ROW - 5, ROW), 0.9, columns=("low",)), ONE, 0.78, columns=("low",))
    assert left_out(wild) == []
