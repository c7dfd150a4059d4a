"""The limits of the gate as a whole: how many wrong bars, closed days and missing sessions a history may have."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline.config import ForecastConfig
from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.quality import ENOUGH, check_bars
from tests.prices.even_bars import DAYS, even_bars
from tests.prices.gate import SYMBOL, checked, dated, left_out, refusal

FIRST = 100  # the first wrong row


def wrong(rows: list[int], *, count: int = 700) -> pd.DataFrame:
    """Even bars, of which these have no valid close."""
    bars = even_bars(count)
    return bars.assign(close=bars["close"].mask(np.isin(np.arange(count), rows), 0.0))


def spread(count: int, length: int) -> list[int]:
    """`count` rows from `FIRST` on, evenly within `length` bars, both ends included."""
    return [int(row) for row in np.linspace(FIRST, FIRST + length - 1, count).round()]


def test_a_history_restarts_if_a_training_has_enough_bars() -> None:
    assert ForecastConfig().minimum_bars == ENOUGH


@pytest.mark.parametrize(("count", "length", "begins_anew"), [(7, 60, True), (7, 61, False), (6, 60, False)])
def test_a_history_restarts_after_7_wrong_bars_among_60(count: int, length: int, begins_anew: bool) -> None:
    rows = spread(count, length)
    assert left_out(wrong(rows)) == (list(range(rows[-1] + 1)) if begins_anew else rows)


def test_many_wrong_bars_are_told_with_the_last_of_them() -> None:
    rows = spread(8, 40)
    text = checked(wrong(rows)).findings[-1].text
    day = DAYS[rows[-1]].date()
    assert f": 8 of 60 bars up to {day} are wrong, for instance: close is 0 on {day}, which is not a price" in text


@pytest.mark.parametrize(("count", "refused"), [(20, False), (21, True)])
def test_if_too_few_bars_follow_20_wrong_bars_among_60_are_accepted(count: int, refused: bool) -> None:
    bars = wrong(spread(count, 60), count=300)
    if refused:
        assert dated(refusal(bars).findings, Verdict.REFUSED) == [(Rule.PRICE, DAYS[FIRST + 60].date())]
    else:
        assert left_out(bars) == spread(count, 60)


@pytest.mark.parametrize(("out", "refused"), [(10, False), (11, True)])
def test_a_short_history_is_refused_if_more_than_half_is_left_out(out: int, refused: bool) -> None:
    bars = wrong(list(range(out)), count=20)
    if refused:
        assert refusal(bars).reason.startswith(f"{out} of 20 bars cannot be used, for instance: close is 0 on ")
    else:
        assert len(checked(bars).bars) == 10


def with_saturdays(days: int, saturdays: int) -> pd.DataFrame:
    """Even bars on `days` days in all, of which so many are Saturdays."""
    index = DAYS[: days - saturdays]
    fridays = index[index.day_of_week == 4][:saturdays]
    return even_bars(days).set_index(index.append(fridays + timedelta(days=1)).sort_values())


@pytest.mark.parametrize(("days", "saturdays", "refused"), [(29, 3, True), (30, 3, False), (15, 2, False)])
def test_dates_are_wrong_if_3_bars_and_a_tenth_are_of_closed_days(days: int, saturdays: int, refused: bool) -> None:
    bars = with_saturdays(days, saturdays)
    first = next(day for day in bars.index if day.day_of_week == 5).date()
    if refused:
        assert f"3 of 29 bars, the first of {first}, are of days on which XNYS was closed" in refusal(bars).reason
    else:
        noted = dated(checked(bars).findings, Verdict.NOTED)
        assert (len(noted), noted[0]) == (saturdays, (Rule.SESSION, first))


def test_a_bar_of_a_closed_day_is_noted_with_its_date_and_close() -> None:
    bars = with_saturdays(200, 1)
    row = int(np.flatnonzero(pd.DatetimeIndex(bars.index).day_of_week == 5)[0])
    (finding,) = checked(bars).findings
    assert finding.text == f"{bars.index[row].date()} is not a session in the calendar of XNYS"
    assert finding.value == bars["close"].iloc[row]


@pytest.mark.parametrize(("behind", "noted"), [(0, []), (5, []), (6, [6.0])])
def test_bars_are_old_if_the_last_is_more_than_a_week_behind(behind: int, noted: list[float]) -> None:
    last_session = DAYS[99 + behind].date()
    findings = check_bars(even_bars(100), symbol=SYMBOL, exchange="XNYS", last_session=last_session).findings
    assert [each.value for each in findings] == noted


def test_the_last_bars_of_a_history_that_restarts_are_told_by_their_number() -> None:
    passed = checked(wrong(spread(7, 60)))
    finding = next(each for each in passed.findings if "the history begins on" in each.text)
    assert (finding.date, finding.value) == (DAYS[FIRST + 60].date(), FIRST + 60.0)
    assert finding.text.endswith("; the 160 bars before were left out")
