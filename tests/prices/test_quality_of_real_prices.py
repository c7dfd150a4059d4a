"""The quality gate on real prices: good files pass without holidays; bad files lose the wrong bars, or are refused."""

from datetime import date

import pandas as pd
import pytest

from forecasting.prices.bars import BadBarsError
from forecasting.prices.calendars import exchange_of
from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.quality import Checked, check_bars
from tests.prices.gate import dated
from tests.prices.shared_data import needs, prices, tickers

B3_HOLIDAYS = {
    date(2017, 6, 15), date(2017, 9, 7), date(2017, 10, 12), date(2017, 11, 2), date(2017, 11, 15), date(2017, 11, 20),
    date(2017, 12, 25), date(2017, 12, 29), date(2018, 1, 25),
}  # fmt: skip
OTHER_HOLIDAYS = {"7267.T": {date(2020, 10, 1)}, "^BVSP": {date(2017, 12, 29)}, "SUZB3.SA": {date(2018, 1, 25)}}
WIDENED = {"BHP.L": {date(2017, 6, 27), date(2020, 6, 15)}}
SPLITS = {"2000-06-21": 2, "2005-02-28": 2, "2014-06-09": 7, "2020-08-31": 4}  # of AAPL


def gate(bars: pd.DataFrame, ticker: str) -> Checked:
    return check_bars(bars, symbol=ticker, exchange=exchange_of(ticker))


def refused(bars: pd.DataFrame, ticker: str) -> list[tuple[Rule, date | None]]:
    with pytest.raises(BadBarsError) as caught:
        gate(bars, ticker)
    return dated(caught.value.findings, Verdict.REFUSED)


@needs("prices")
@pytest.mark.parametrize("ticker", tickers("prices"))
def test_a_good_file_passes_without_its_holidays(ticker: str) -> None:
    passed = gate(prices("prices", ticker), ticker)
    expected = OTHER_HOLIDAYS.get(ticker, B3_HOLIDAYS if ticker.endswith(".SA") else set())
    sent = prices("prices", ticker)
    assert set(sent.index.difference(passed.bars.index).date) == expected  # type: ignore[attr-defined]
    assert {each.date for each in passed.findings if each.rule == Rule.PHANTOM} <= expected
    assert {each.date for each in passed.findings if each.rule == Rule.RANGE} == WIDENED.get(ticker, set())


@needs("quirks")
def test_the_mixed_units_of_aet_are_refused_in_any_order() -> None:
    assert refused(prices("quirks", "AET.L"), "AET.L") == [(Rule.UNIT, date(2022, 5, 9)), (Rule.UNIT, date(2022, 5, 20))]


@needs("quirks")
def test_the_pounds_among_the_pence_of_ba_are_left_out() -> None:
    passed = gate(prices("quirks", "BA.L"), "BA.L")
    in_a_bar, in_pounds = (Rule.UNIT, date(2019, 11, 13)), (Rule.SPIKE, date(2022, 6, 14))
    assert dated(passed.findings, Verdict.LEFT_OUT) == [in_a_bar, in_pounds]
    assert len(passed.bars) == len(prices("quirks", "BA.L")) - 2


@needs("quirks")
@pytest.mark.parametrize("first", ["2000-01-01", "2014-01-01"])
def test_ugpa_begins_after_its_step_and_its_untraded_years(first: str) -> None:
    passed = gate(prices("quirks", "UGPA3.SA")[first:], "UGPA3.SA")
    assert passed.bars.index[0] == pd.Timestamp("2021-06-28")
    assert dated(passed.findings, Verdict.LEFT_OUT) == [(Rule.STEP, date(2021, 6, 28))]


@needs("raw")
@pytest.mark.parametrize("day", SPLITS)
def test_a_history_restarts_after_a_split_or_waits_for_enough_bars(day: str) -> None:
    bars = prices("raw", "AAPL")
    place = int(bars.index.searchsorted(pd.Timestamp(day)))
    assert refused(bars[: place + 100], "AAPL") == [(Rule.STEP, date.fromisoformat(day))]


@needs("raw")
def test_a_real_crash_of_half_the_price_stays() -> None:
    passed = gate(prices("raw", "AAPL")["2000-06-21":"2005-02-25"], "AAPL")
    assert pd.Timestamp("2000-09-29") in passed.bars.index  # -52 %
    assert passed.bars.index[0] == pd.Timestamp("2000-06-21")


@needs("raw")
def test_splits_that_are_adjusted_pass() -> None:
    bars = prices("raw", "AAPL")
    for day, factor in SPLITS.items():
        before = bars.index < pd.Timestamp(day)
        bars.loc[before, ["open", "high", "low", "close"]] /= factor
        bars.loc[before, "volume"] *= factor
    wrong_lows = [date(2009, 9, 21), date(2010, 8, 31), date(2011, 1, 3)]  # a tenth of the price or less
    assert dated(gate(bars, "AAPL").findings, Verdict.LEFT_OUT) == [(Rule.UNIT, day) for day in wrong_lows]
