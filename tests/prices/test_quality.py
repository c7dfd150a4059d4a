"""The quality gate as a whole: accepted bars, start of the usable history, waiting bars, and refusals with their messages."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from forecasting.prices.bars import PRICES, BadBarsError, empty
from forecasting.prices.calendars import closed_days
from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.quality import ENOUGH, check_bars
from tests.pipeline.market_data import replaced, rescaled, session_bars
from tests.prices.contract import keeps_contract
from tests.prices.defects import KINDS, Defect
from tests.prices.defects import rescaled as unit_of
from tests.prices.gate import SYMBOL, checked, dated, left_out, only, refusal

HOLIDAY = date(2020, 7, 3)  # Independence Day, observed
DEFECTS = [(kind, number) for kind, defects in KINDS.items() for number in range(len(defects))]
PROPERTY = settings(max_examples=60, deadline=None)  # the first use of an exchange builds its calendar


def with_bar(bars: pd.DataFrame, day: date, **changes: float) -> pd.DataFrame:
    """The bars with one more, which repeats the previous close without volume, apart from the changes."""
    before = bars.loc[bars.index < pd.Timestamp(day), "close"].iloc[-1]
    values = dict.fromkeys(PRICES, before) | {"volume": 0.0} | changes
    return pd.concat([bars, pd.DataFrame(values, index=[pd.Timestamp(day)])]).sort_index()


@pytest.fixture
def bars() -> pd.DataFrame:
    return session_bars()


@pytest.fixture
def long() -> pd.DataFrame:
    return session_bars(1100)


def test_good_bars_pass_unchanged_and_nothing_is_found(bars: pd.DataFrame) -> None:
    passed = checked(bars)
    pd.testing.assert_frame_equal(passed.bars, bars, check_freq=False)
    assert (passed.findings, passed.held) == ([], "")


def test_no_bars_pass() -> None:
    assert checked(empty()).bars.empty


def test_one_bar_passes(bars: pd.DataFrame) -> None:
    assert len(checked(bars[:1]).bars) == 1


def test_bars_in_any_order_are_ordered(bars: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(checked(bars.sample(frac=1, random_state=3)).bars, bars, check_freq=False)


def test_the_input_frame_does_not_change(bars: pd.DataFrame) -> None:
    bad = replaced(bars, slice(100), open=0.0)
    before = bad.copy()
    checked(bad)
    pd.testing.assert_frame_equal(bad, before)


# Phantoms


def test_a_phantom_of_a_holiday_is_dropped(bars: pd.DataFrame) -> None:
    passed = checked(with_bar(bars, HOLIDAY))
    pd.testing.assert_frame_equal(passed.bars, bars, check_freq=False)
    (found,) = passed.findings
    assert (found.rule, found.verdict, found.date) == (Rule.PHANTOM, Verdict.REPAIRED, HOLIDAY)
    assert found.value == bars["close"][: pd.Timestamp(HOLIDAY)].iloc[-1]
    assert found.text.startswith("2020-07-03 was not a session; its bar repeats ")


def test_a_phantom_that_repeats_the_range_of_the_bar_before_is_dropped(bars: pd.DataFrame) -> None:
    before = bars[: pd.Timestamp(HOLIDAY)].iloc[-1]
    passed = checked(with_bar(bars, HOLIDAY, open=before["open"], high=before["high"], low=before["low"]))
    assert len(passed.bars) == len(bars)


def test_phantoms_in_a_row_are_all_dropped(bars: pd.DataFrame) -> None:
    weekend = with_bar(with_bar(with_bar(bars, HOLIDAY), date(2020, 7, 4)), date(2020, 7, 5))
    assert len(checked(weekend).bars) == len(bars)


@pytest.mark.parametrize("changes", [{"volume": 10.0}, {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0}])
def test_a_bar_of_a_holiday_with_other_values_is_kept_and_noted(bars: pd.DataFrame, changes: dict[str, float]) -> None:
    passed = checked(with_bar(rescaled(bars, slice(None), 0.0205), HOLIDAY, **changes))
    assert len(passed.bars) == len(bars) + 1
    assert (Rule.SESSION, HOLIDAY) in dated(passed.findings, Verdict.NOTED)


def test_a_session_without_trades_is_not_a_phantom(bars: pd.DataFrame) -> None:
    day = bars.index[100]
    assert len(checked(with_bar(bars.drop(day), day.date())).bars) == len(bars)


def test_if_holidays_are_unknown_no_bar_is_a_phantom(bars: pd.DataFrame) -> None:
    assert len(checked(with_bar(bars, date(2020, 7, 4)), exchange="WEEKDAYS").bars) == len(bars) + 1


# Start of the history


def test_a_history_begins_after_its_last_break_if_enough_bars_follow(long: pd.DataFrame) -> None:
    passed = checked(rescaled(long, slice(400), 0.5))
    pd.testing.assert_frame_equal(passed.bars, long[400:], check_freq=False)


def test_a_finding_gives_the_reason_for_the_start_and_the_number_of_earlier_bars(long: pd.DataFrame) -> None:
    finding = only(rescaled(long, slice(400), 0.5))
    day = long.index[400].date()
    assert (finding.rule, finding.verdict, finding.date, finding.value) == (Rule.STEP, Verdict.LEFT_OUT, day, 400)
    assert finding.text.startswith(f"the history begins on {day}: close is ")
    assert finding.text.endswith("a split or a wrong factor, not a move; the 400 bars before were left out")


def test_findings_before_the_start_are_not_listed(long: pd.DataFrame) -> None:
    bad = replaced(replaced(rescaled(long, slice(400), 0.5), slice(9, 10), open=0.0), slice(600, 601), open=0.0)
    assert [each.date for each in checked(bad).findings] == [long.index[600].date(), long.index[400].date()]


def test_a_step_that_too_few_bars_follow_is_refused_until_enough_do(long: pd.DataFrame) -> None:
    wrong = rescaled(long, slice(400), 0.5)
    few = refusal(wrong[: 400 + ENOUGH - 1])
    assert dated(few.findings, Verdict.REFUSED) == [(Rule.STEP, long.index[400].date())]
    assert f"only {ENOUGH - 1} good bars follow and a training needs {ENOUGH}" in few.reason
    assert few.reason.endswith("this ends when the price source corrects it, or after 1 more sessions")
    assert len(checked(wrong[: 400 + ENOUGH]).bars) == ENOUGH


def test_a_suspension_is_bridged_until_enough_bars_follow(long: pd.DataFrame) -> None:
    last = {column: float(long[column].iloc[399]) for column in PRICES}
    suspended = replaced(long, slice(400, 430), **last, volume=0.0)
    assert len(checked(suspended[: 430 + ENOUGH - 1]).bars) == 400 + ENOUGH - 1
    assert len(checked(suspended[: 430 + ENOUGH]).bars) == ENOUGH


def test_a_stretch_of_many_wrong_bars_is_left_out(long: pd.DataFrame) -> None:
    bad = long.assign(close=long["close"].mask((np.arange(1100) % 3 == 0) & (np.arange(1100) < 300), 0.0))
    passed = checked(bad)
    pd.testing.assert_frame_equal(passed.bars, long[298:], check_freq=False)
    text = passed.findings[-1].text
    assert f"20 of 60 bars up to {long.index[297].date()} are wrong, for instance: close is 0 on " in text
    assert text.endswith("; the 298 bars before were left out")


def test_of_a_few_wrong_bars_only_they_are_left_out(long: pd.DataFrame) -> None:
    bad = long.assign(close=long["close"].mask(np.isin(np.arange(1100), [1080, 1085, 1090]), 0.0))
    assert left_out(bad) == [1080, 1085, 1090]


def test_bars_that_are_all_wrong_are_refused(bars: pd.DataFrame) -> None:
    error = refusal(replaced(bars, slice(200), low=0.0))
    assert error.reason.startswith(f"60 of 60 bars up to {bars.index[199].date()} are wrong, for instance: low is 0 on ")
    assert "; only 100 good bars follow and a training needs 496; this ends " in error.reason
    assert (Rule.PRICE, bars.index[0].date()) in dated(error.findings, Verdict.LEFT_OUT)


def test_a_reason_names_the_other_refused_findings(long: pd.DataFrame) -> None:
    waiting = rescaled(long[:900], slice(895, None), 2.0)
    error = refusal(rescaled(waiting, slice(600), 0.5))
    assert error.reason.endswith(f"(also: step on {long.index[895].date()})")


# Sessions and gaps


def test_dates_that_are_shifted_by_a_day_are_refused(bars: pd.DataFrame) -> None:
    error = refusal(bars.set_index(pd.DatetimeIndex(bars.index) - pd.Timedelta(days=1)))
    assert error.findings[0].rule == Rule.SESSION
    assert "are of days on which XNYS was closed; correct the dates" in error.reason


def test_a_history_with_bars_on_every_weekday_is_not_refused() -> None:
    bars = session_bars(exchange="WEEKDAYS")
    closed = bars.index[closed_days("XNYS", pd.DatetimeIndex(bars.index))]
    assert dated(checked(bars).findings, Verdict.NOTED) == [(Rule.SESSION, day.date()) for day in closed]


def test_crypto_trades_every_day() -> None:
    assert checked(session_bars(exchange="24/7"), exchange="24/7").findings == []


def test_currencies_trade_on_christmas_and_their_missing_volume_is_noted() -> None:
    bars = session_bars(exchange="24/5").assign(volume=0.0)
    assert [each.rule for each in checked(bars, exchange="24/5").findings] == [Rule.NO_TRADES]


# Too few, too old


def test_too_few_bars_are_noted(bars: pd.DataFrame) -> None:
    (found,) = check_bars(bars, symbol=SYMBOL, exchange="XNYS", needed=490).findings
    assert (found.rule, found.verdict, found.value) == (Rule.FEW, Verdict.NOTED, 300)
    assert found.text == "there are 300 bars; a training needs 490"


@pytest.mark.parametrize(("last_session", "behind"), [(date(2021, 3, 18), None), (date(2021, 3, 19), 6)])
def test_old_bars_are_noted(bars: pd.DataFrame, last_session: date, behind: int | None) -> None:
    findings = check_bars(bars, symbol=SYMBOL, exchange="XNYS", last_session=last_session).findings
    assert [found.value for found in findings if found.rule == Rule.OLD] == ([] if behind is None else [behind])


# Properties


@st.composite
def damaged(draw: st.DrawFn) -> pd.DataFrame:
    """Bars with phantoms and up to four defects of any kind."""
    bars = session_bars(draw(st.sampled_from([40, 300, 900])), seed=draw(st.integers(0, 50)))
    for kind, number in draw(st.lists(st.sampled_from(DEFECTS), max_size=4)):
        bars = KINDS[kind][number](bars, draw(st.integers(1, len(bars) - 1)))
        assume(len(bars) > 2)
    days = pd.date_range(bars.index[0], bars.index[-1]).difference(pd.DatetimeIndex(bars.index))
    for day in draw(st.lists(st.sampled_from(list(days)), max_size=4, unique=True)) if len(days) else []:
        bars = with_bar(bars, day.date(), volume=draw(st.sampled_from([0.0, 0.0, 0.0, 500.0])))
    return bars


@PROPERTY
@given(damaged())
def test_accepted_bars_meet_the_contract_and_none_is_invented(bars: pd.DataFrame) -> None:
    try:
        passed = checked(bars).bars
    except BadBarsError:
        return
    assert keeps_contract(passed)
    sent = bars.loc[passed.index]
    np.testing.assert_array_equal(passed["close"], sent["close"])
    assert (passed["volume"].eq(sent["volume"]) | passed["volume"].eq(0)).all()


def verdicts(bars: pd.DataFrame) -> tuple[list[pd.Timestamp], list[tuple[Rule, Verdict, date | None]]]:
    """The sessions that pass, and the findings; no session if the bars are refused."""
    try:
        passed = checked(bars)
    except BadBarsError as error:
        return [], [(each.rule, each.verdict, each.date) for each in error.findings]
    return list(passed.bars.index), [(each.rule, each.verdict, each.date) for each in passed.findings]


@PROPERTY
@given(damaged(), st.floats(-6, 6).map(lambda power: 10.0**power))
def test_no_verdict_depends_on_the_size_of_prices(bars: pd.DataFrame, factor: float) -> None:
    assert verdicts(rescaled(bars, slice(None), factor)) == verdicts(bars)


@PROPERTY
@given(damaged())
def test_repaired_bars_need_no_second_repair(bars: pd.DataFrame) -> None:
    try:
        twice = checked(checked(bars).bars)
    except BadBarsError:
        return
    assert not dated(twice.findings, Verdict.REPAIRED)


@pytest.mark.parametrize("level", [3e-7, 700_000.0])
def test_prices_of_any_size_pass(bars: pd.DataFrame, level: float) -> None:
    assert checked(rescaled(bars, slice(None), level / 50)).findings == []


@pytest.mark.parametrize("level", [3e-7, 700_000.0])
def test_a_wrong_unit_is_found_at_prices_of_any_size(bars: pd.DataFrame, level: float) -> None:
    defect: Defect = unit_of(100.0)
    assert left_out(defect(rescaled(bars, slice(None), level / 50), 200)) == [200]
