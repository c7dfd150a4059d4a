"""The quality gate: what passes, what is repaired, what is noted, what is refused and in which words."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.pipeline.bars import COLUMNS, PRICES, BadBarsError, empty
from forecasting.pipeline.calendars import closed_days
from forecasting.pipeline.findings import MOST_LISTED, Finding, Rule, Verdict
from forecasting.pipeline.quality import Checked, check_bars
from tests.pipeline.market_data import replaced, rescaled, session_bars

HOLIDAY = date(2020, 7, 3)  # Independence Day, observed
SYMBOL = "TEST"
PROPERTY = settings(max_examples=50, deadline=None)  # the first use of an exchange builds its calendar


def checked(bars: pd.DataFrame, *, exchange: str = "XNYS", symbol: str = SYMBOL) -> Checked:
    return check_bars(bars, symbol=symbol, exchange=exchange)


def refusal(bars: pd.DataFrame, *, exchange: str = "XNYS") -> BadBarsError:
    with pytest.raises(BadBarsError) as caught:
        checked(bars, exchange=exchange)
    return caught.value


def rules(findings: "list[Finding] | tuple[Finding, ...]", verdict: Verdict) -> list[tuple[str, date | None]]:
    return [(finding.rule, finding.date) for finding in findings if finding.verdict == verdict]


def with_bar(bars: pd.DataFrame, day: date, **changes: float) -> pd.DataFrame:
    """With one more bar, which repeats the close before it without volume but for the changes."""
    before = bars.loc[bars.index < pd.Timestamp(day), "close"].iloc[-1]
    values = dict.fromkeys(("open", "high", "low", "close"), before) | {"volume": 0.0} | changes
    return pd.concat([bars, pd.DataFrame(values, index=[pd.Timestamp(day)])]).sort_index()


@pytest.fixture
def bars() -> pd.DataFrame:
    return session_bars()


def test_good_bars_pass_unchanged_and_nothing_is_found(bars: pd.DataFrame) -> None:
    passed = checked(bars)
    pd.testing.assert_frame_equal(passed.bars, bars, check_freq=False)
    assert passed.findings == []


def test_no_bars_pass() -> None:
    assert checked(empty()).bars.empty


def test_one_bar_passes(bars: pd.DataFrame) -> None:
    assert len(checked(bars[:1]).bars) == 1


# Repairs


def test_a_phantom_of_a_holiday_is_dropped(bars: pd.DataFrame) -> None:
    passed = checked(with_bar(bars, HOLIDAY))
    pd.testing.assert_frame_equal(passed.bars, bars, check_freq=False)
    (found,) = passed.findings
    assert (found.rule, found.verdict, found.date) == (Rule.PHANTOM, Verdict.REPAIRED, HOLIDAY)
    assert found.value == bars["close"][: pd.Timestamp(HOLIDAY)].iloc[-1]
    assert found.text.startswith("2020-07-03 was no session; its bar, ")


def test_a_phantom_that_repeats_the_range_of_the_bar_before_is_dropped(bars: pd.DataFrame) -> None:
    before = bars[: pd.Timestamp(HOLIDAY)].iloc[-1]
    passed = checked(with_bar(bars, HOLIDAY, open=before["open"], high=before["high"], low=before["low"]))
    assert len(passed.bars) == len(bars)


def test_phantoms_in_a_row_are_all_dropped(bars: pd.DataFrame) -> None:
    weekend = with_bar(with_bar(with_bar(bars, HOLIDAY), date(2020, 7, 4)), date(2020, 7, 5))
    assert len(checked(weekend).bars) == len(bars)


@pytest.mark.parametrize("changes", [{"volume": 10.0}, {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0}])
def test_a_bar_of_a_holiday_that_tells_something_is_kept_and_noted(bars: pd.DataFrame, changes: dict[str, float]) -> None:
    passed = checked(with_bar(rescaled(bars, slice(None), 0.0205), HOLIDAY, **changes))
    assert len(passed.bars) == len(bars) + 1
    assert (Rule.SESSION, HOLIDAY) in rules(passed.findings, Verdict.NOTED)


def test_a_session_without_trades_is_no_phantom(bars: pd.DataFrame) -> None:
    day = bars.index[100]
    passed = checked(with_bar(bars.drop(day), day.date()))
    assert len(passed.bars) == len(bars)


def test_where_holidays_are_not_known_nothing_is_a_phantom(bars: pd.DataFrame) -> None:
    assert len(checked(with_bar(bars, date(2020, 7, 4)), exchange="WEEKDAYS").bars) == len(bars) + 1


def test_a_range_that_misses_by_rounding_is_widened_and_said(bars: pd.DataFrame) -> None:
    day, top = bars.index[100], max(bars["open"].iloc[100], bars["close"].iloc[100])
    passed = checked(replaced(bars, slice(100, 101), high=top * 0.997))
    assert passed.bars.loc[day, "high"] == top
    (found,) = passed.findings
    assert (found.rule, found.verdict, found.date) == (Rule.RANGE, Verdict.REPAIRED, day.date())
    assert found.value == pytest.approx(0.003)


def test_float_noise_is_repaired_without_a_word(bars: pd.DataFrame) -> None:
    bars["high"] = bars[["open", "close"]].max(axis="columns") * (1 - 1e-8)
    passed = checked(bars)
    assert (passed.bars["high"] >= passed.bars["close"]).all()
    assert passed.findings == []


# Refusals of the contract


def test_every_defect_is_named_not_only_the_first(bars: pd.DataFrame) -> None:
    bars = replaced(replaced(bars, slice(50, 51), close=np.nan), slice(60, 61), volume=-1)
    bars = rescaled(bars, slice(200, None), 100)
    error = refusal(bars.iloc[::-1])
    days = [bars.index[row].date() for row in (50, 60, 200)]
    found = [(Rule.ORDER, bars.index[-2].date()), *zip((Rule.PRICE, Rule.VOLUME, Rule.UNIT), days, strict=True)]
    assert rules(error.findings, Verdict.REFUSED) == found
    assert error.reason.startswith("the bars are out of order: ")
    assert error.reason.endswith(f"(also: price on {days[0]}, volume on {days[1]}, unit jump on {days[2]})")


def test_a_value_that_is_no_number_is_kept_as_none(bars: pd.DataFrame) -> None:
    assert refusal(replaced(bars, slice(50, 51), close=np.nan)).findings[0].value is None


def test_findings_of_one_rule_are_listed_up_to_a_limit(bars: pd.DataFrame) -> None:
    error = refusal(replaced(bars, slice(50), close=0))
    assert len(error.findings) == MOST_LISTED
    assert error.findings[-1].text.endswith("; 30 more like it follow")


def test_a_reason_counts_what_it_does_not_name(bars: pd.DataFrame) -> None:
    assert refusal(replaced(bars, slice(10), close=0)).reason.endswith(", price on 2020-01-07, 6 more findings)")


def test_two_bars_of_one_session_are_refused(bars: pd.DataFrame) -> None:
    error = refusal(pd.concat([bars, bars.iloc[[50]]]).sort_index())
    assert rules(error.findings, Verdict.REFUSED) == [(Rule.DUPLICATE, bars.index[50].date())]


# Sessions and gaps


def test_dates_that_are_shifted_by_a_day_are_refused(bars: pd.DataFrame) -> None:
    error = refusal(bars.set_index(pd.DatetimeIndex(bars.index) - pd.Timedelta(days=1)))
    assert error.findings[0].rule == Rule.SESSION
    assert "are of days on which XNYS was closed; correct the dates" in error.reason


def test_bars_of_every_weekday_are_no_reason_to_refuse_a_history() -> None:
    bars = session_bars(exchange="WEEKDAYS")
    noted = rules(checked(bars).findings, Verdict.NOTED)
    closed = bars.index[closed_days("XNYS", pd.DatetimeIndex(bars.index))]
    assert noted == [(Rule.SESSION, day.date()) for day in closed]


@pytest.mark.parametrize(("sessions", "verdict"), [(4, None), (5, Verdict.NOTED), (249, Verdict.NOTED), (250, Verdict.REFUSED)])
def test_a_gap_is_noted_from_a_week_and_refused_from_a_year(sessions: int, verdict: Verdict | None) -> None:
    bars = session_bars(800)
    gappy = bars.drop(bars.index[300 : 300 + sessions])
    findings = refusal(gappy).findings if verdict == Verdict.REFUSED else tuple(checked(gappy).findings)
    found = [(each.verdict, each.date, each.value) for each in findings if each.rule == Rule.GAP]
    assert found == ([] if verdict is None else [(verdict, bars.index[300 + sessions].date(), sessions)])


def test_weekly_bars_are_refused() -> None:
    error = refusal(session_bars(600)[::5])
    assert "sessions have no bar: these are not daily bars" in error.reason


def test_crypto_trades_every_day() -> None:
    assert checked(session_bars(exchange="24/7"), exchange="24/7", symbol="BTC-USD").findings == []


def test_currencies_trade_on_christmas_and_have_no_volume() -> None:
    bars = session_bars(exchange="24/5").assign(volume=0.0)
    assert checked(bars, exchange="24/5", symbol="EURUSD=X").findings == []


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
    """Bars with phantoms, misses of the range and, sometimes, worse."""
    bars = session_bars(draw(st.integers(2, 120)), seed=draw(st.integers(0, 50)))
    for row in draw(st.lists(st.integers(0, len(bars) - 1), max_size=4)):
        factor = draw(st.sampled_from([1 - 1e-9, 1 - 1e-4, 0.996, 1.004, 0.9, 1.3, 0.01, 100.0]))
        bars = rescaled(bars, slice(row, row + 1), factor, columns=(draw(st.sampled_from(PRICES)),))
    if draw(st.booleans()):
        row, column = draw(st.integers(0, len(bars) - 1)), draw(st.sampled_from(COLUMNS))
        bars = replaced(bars, slice(row, row + 1), **{column: draw(st.sampled_from([0.0, -1.0, np.nan, np.inf, 1e300]))})
    days = pd.date_range(bars.index[0], bars.index[-1]).difference(pd.DatetimeIndex(bars.index))
    for day in draw(st.lists(st.sampled_from(list(days)), max_size=6, unique=True)) if len(days) else []:
        bars = with_bar(bars, day.date(), volume=draw(st.sampled_from([0.0, 0.0, 0.0, 500.0])))
    return bars


@PROPERTY
@given(damaged())
def test_a_repair_is_final(bars: pd.DataFrame) -> None:
    try:
        once = checked(bars)
    except BadBarsError:
        return
    twice = checked(once.bars)
    pd.testing.assert_frame_equal(twice.bars, once.bars)
    assert not rules(twice.findings, Verdict.REPAIRED)


@PROPERTY
@given(damaged())
def test_what_passes_is_what_the_database_takes(bars: pd.DataFrame) -> None:
    """The conditions of PriceBar's constraints."""
    try:
        passed = checked(bars).bars
    except BadBarsError:
        return
    assert np.isfinite(passed).all(axis=None)
    assert (passed[["open", "high", "low", "close"]] > 0).all(axis=None)
    assert (passed["high"] >= passed[["open", "close"]].max(axis="columns")).all()
    assert (passed["low"] <= passed[["open", "close"]].min(axis="columns")).all()
    assert (passed["volume"] >= 0).all()
    assert passed.index.is_unique
    assert passed.index.is_monotonic_increasing


@PROPERTY
@given(damaged(), st.data())
def test_later_bars_do_not_change_what_was_repaired(bars: pd.DataFrame, data: st.DataObject) -> None:
    known = bars[: data.draw(st.integers(1, len(bars)))]
    try:
        early, late = checked(known), checked(bars)
    except BadBarsError:
        return
    pd.testing.assert_frame_equal(late.bars[: known.index[-1]], early.bars, check_freq=False)
    last = known.index[-1].date()
    repaired = [each for each in late.findings if each.verdict == Verdict.REPAIRED and each.date and each.date <= last]
    assert repaired == [each for each in early.findings if each.verdict == Verdict.REPAIRED]
