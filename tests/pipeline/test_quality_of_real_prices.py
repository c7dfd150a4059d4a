"""The quality gate before real prices: good files pass with their holidays dropped, bad ones are refused for the right reason."""

from datetime import date

import pandas as pd
import pytest

from forecasting.pipeline.bars import BadBarsError
from forecasting.pipeline.calendars import exchange_of
from forecasting.pipeline.findings import Rule, Verdict
from forecasting.pipeline.quality import Checked, check_bars
from forecasting.pipeline.sources import BadDataError, CsvFolder
from tests.pipeline.shared_data import SHARED, needs, prices, tickers

B3_HOLIDAYS = {
    date(2017, 6, 15), date(2017, 9, 7), date(2017, 10, 12), date(2017, 11, 2), date(2017, 11, 15), date(2017, 11, 20),
    date(2017, 12, 25), date(2017, 12, 29), date(2018, 1, 25),
}  # fmt: skip
OTHER_HOLIDAYS = {"7267.T": {date(2020, 10, 1)}, "^BVSP": {date(2017, 12, 29)}, "SUZB3.SA": {date(2018, 1, 25)}}
WIDENED = {"BHP.L": {date(2017, 6, 27), date(2020, 6, 15)}}


def gate(bars: pd.DataFrame, ticker: str) -> Checked:
    return check_bars(bars, symbol=ticker, exchange=exchange_of(ticker))


def refused(bars: pd.DataFrame, ticker: str) -> set[tuple[Rule, date | None]]:
    with pytest.raises(BadBarsError) as caught:
        gate(bars, ticker)
    return {(each.rule, each.date) for each in caught.value.findings if each.verdict == Verdict.REFUSED}


@needs("prices")
@pytest.mark.parametrize("ticker", tickers("prices"))
def test_a_good_file_passes_without_its_holidays(ticker: str) -> None:
    passed = gate(prices("prices", ticker), ticker)
    expected = OTHER_HOLIDAYS.get(ticker, B3_HOLIDAYS if ticker.endswith(".SA") else set())
    assert {each.date for each in passed.findings if each.rule == Rule.PHANTOM} == expected
    assert {each.date for each in passed.findings if each.rule == Rule.RANGE} == WIDENED.get(ticker, set())
    assert len(passed.bars) == len(prices("prices", ticker)) - len(expected)


@needs("quirks")
def test_the_order_and_the_units_of_aet_are_refused() -> None:
    units = {(Rule.UNIT, date(2022, 5, 9)), (Rule.UNIT, date(2022, 5, 20))}
    assert refused(prices("quirks", "AET.L"), "AET.L") == {(Rule.ORDER, date(2022, 6, 1))} | units


@needs("quirks")
def test_the_pounds_among_the_pence_of_ba_are_refused() -> None:
    in_a_bar, in_pounds = {(Rule.UNIT, date(2019, 11, 13))}, {(Rule.UNIT, date(2022, 6, 14)), (Rule.UNIT, date(2022, 6, 15))}
    assert refused(prices("quirks", "BA.L"), "BA.L") == in_a_bar | in_pounds


@needs("quirks")
def test_the_step_and_the_untraded_years_of_ugpa_are_refused() -> None:
    found = refused(prices("quirks", "UGPA3.SA"), "UGPA3.SA")
    assert {(Rule.STEP, date(2021, 6, 28)), (Rule.STEP, date(2007, 5, 7)), (Rule.NO_TRADES, date(2006, 1, 2))} <= found
    assert Rule.STALE in {rule for rule, _ in found}


@needs("quirks")
def test_the_step_of_ugpa_alone_is_refused() -> None:
    assert refused(prices("quirks", "UGPA3.SA")["2014-01-01":], "UGPA3.SA") == {(Rule.STEP, date(2021, 6, 28))}


@needs("quirks")
@pytest.mark.parametrize(("ticker", "reason"), [("AET.L", r"out of order: .*unit jump on"), ("UGPA3.SA", r"step on 2021-06-28")])
def test_the_source_says_so_too(ticker: str, reason: str) -> None:
    with pytest.raises(BadDataError, match=reason):
        CsvFolder(SHARED / "quirks").fetch(ticker, since=None, through=date(2026, 12, 31))


@needs("raw")
def test_splits_are_refused_and_a_true_crash_is_not() -> None:
    splits = {date(2000, 6, 21), date(2005, 2, 28), date(2014, 6, 9), date(2020, 8, 31)}
    assert refused(prices("raw", "AAPL"), "AAPL") == {(Rule.STEP, day) for day in splits}  # 2000-09-29: -52 %, and true


@needs("raw")
def test_a_history_without_splits_passes() -> None:
    assert gate(prices("raw", "IBM"), "IBM").findings == []


@needs("raw")
def test_splits_that_are_adjusted_pass() -> None:
    bars = prices("raw", "AAPL")
    for day, factor in (("2000-06-21", 2), ("2005-02-28", 2), ("2014-06-09", 7), ("2020-08-31", 4)):
        before = bars.index < pd.Timestamp(day)
        bars.loc[before, ["open", "high", "low", "close"]] /= factor
        bars.loc[before, "volume"] *= factor
    assert gate(bars, "AAPL").findings == []
