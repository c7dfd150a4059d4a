"""Which quotes a forecast may use."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from forecasting.prices.quotes import Quote, QuoteFault, QuoteProblem, is_delayed, quote_problem, widened

FRIDAY, MONDAY = date(2024, 6, 28), date(2024, 7, 1)
NOW = datetime(2024, 7, 1, 16, tzinfo=UTC)  # noon in New York
GOOD = Quote(session=MONDAY, time=NOW, price=102.0, open=101.0, high=103.0, low=100.0, volume=1e6)


def problem(
    *, exchange: str = "XNYS", last_bar: date = FRIDAY, last_close: float = 100.0, now: datetime = NOW, **changes: Any
) -> QuoteProblem | None:
    return quote_problem(replace(GOOD, **changes), exchange=exchange, last_bar=last_bar, last_close=last_close, now=now)


def refusal(**changes: Any) -> tuple[QuoteFault, str]:
    found = problem(**changes)
    assert found
    return found.fault, found.text


def scaled(factor: float) -> dict[str, Any]:
    return {name: getattr(GOOD, name) * factor for name in ("price", "open", "high", "low")}


def test_a_quote_of_the_session_under_way_is_good() -> None:
    assert problem() is None


@pytest.mark.parametrize("now", [datetime(2024, 7, 1, 20, 5, tzinfo=UTC), datetime(2024, 7, 1, 20, 29, tzinfo=UTC)])
def test_a_quote_of_a_session_that_settles_is_good(now: datetime) -> None:
    assert problem(now=now, time=datetime(2024, 7, 1, 20, 0, 1, tzinfo=UTC)) is None


def test_it_refuses_a_price_that_may_be_the_close_by_the_hours_of_the_source() -> None:
    ends = NOW - timedelta(minutes=5)
    fault, text = refusal(ends=ends)
    assert (fault, text) == (
        QuoteFault.TIME,
        "the last trade was at 12:00 EDT, and the session ended at 11:55 EDT, says the price source",
    )
    assert problem(ends=ends, time=ends - timedelta(seconds=1)) is None


@pytest.mark.parametrize("name", ["price", "open", "high", "low"])
@pytest.mark.parametrize(("number", "told"), [(0.0, "0"), (-1.0, "-1"), (math.nan, "nan"), (math.inf, "inf")])
def test_it_refuses_a_number_that_is_no_price(name: str, number: float, told: str) -> None:
    assert refusal(**{name: number}) == (QuoteFault.PRICES, f"{name} is {told}, which is not a price")


@pytest.mark.parametrize("volume", [-1.0, math.nan, math.inf])
def test_it_refuses_a_number_that_is_no_volume(volume: float) -> None:
    assert refusal(volume=volume)[0] == QuoteFault.PRICES


def test_no_volume_is_good() -> None:
    assert problem(volume=0.0) is None


@pytest.mark.parametrize("name", ["price", "open"])
@pytest.mark.parametrize("number", [99.9, 103.1])
def test_it_refuses_a_price_outside_of_the_days_range(name: str, number: float) -> None:
    expected = f"{name} is {number}, outside of the day's range 100 to 103"
    assert refusal(**{name: number}) == (QuoteFault.PRICES, expected)


def test_a_range_that_misses_the_price_narrowly_is_widened() -> None:
    found = widened(replace(GOOD, price=103.4, open=99.6))
    assert (found.low, found.high) == (99.6, 103.4)


def test_a_range_that_misses_the_price_by_more_is_not_widened() -> None:
    quote = replace(GOOD, price=105.0)
    assert widened(quote) == quote


def test_it_refuses_a_trade_in_the_future() -> None:
    text = "the last trade was at 12:02 EDT, in the future; check the clocks"
    assert refusal(time=NOW + timedelta(minutes=2)) == (QuoteFault.TIME, text)


def test_clocks_may_differ_by_a_minute() -> None:
    assert problem(time=NOW + timedelta(minutes=1)) is None


def test_it_refuses_a_trade_before_the_open() -> None:
    early = datetime(2024, 7, 1, 13, 29, tzinfo=UTC)
    text = "the last trade was at 09:29 EDT, before the open at 09:30 EDT"
    assert refusal(time=early, now=early + timedelta(minutes=5)) == (QuoteFault.TIME, text)


@pytest.mark.parametrize("session", [FRIDAY, date(2024, 7, 2)])
def test_it_refuses_a_quote_of_another_session(session: date) -> None:
    text = f"the quote is of {session}, not of the session under way, 2024-07-01"
    assert refusal(session=session, last_bar=date(2024, 6, 27)) == (QuoteFault.TIME, text)


def test_it_refuses_a_quote_of_a_session_that_has_a_bar() -> None:
    assert refusal(last_bar=MONDAY) == (QuoteFault.TIME, "the quote is of 2024-07-01, but there are bars until 2024-07-01")


@pytest.mark.parametrize("now", [datetime(2024, 7, 1, 12, tzinfo=UTC), datetime(2024, 7, 4, 15, tzinfo=UTC)])
def test_it_refuses_a_quote_while_the_exchange_is_closed(now: datetime) -> None:
    fault, text = refusal(now=now, time=now)
    assert (fault, text[:14]) == (QuoteFault.TIME, "XNYS is closed")


def test_it_refuses_a_quote_if_the_opening_times_are_unknown() -> None:
    assert refusal(exchange="XKUW")[0] == QuoteFault.TIME


def test_it_refuses_a_quote_of_a_halted_session() -> None:
    text = "no trade known since 11:29 EDT: halted, barely traded or not reported"
    assert refusal(time=NOW - timedelta(minutes=31)) == (QuoteFault.HALTED, text)


def test_a_feed_may_be_delayed_by_half_an_hour() -> None:
    assert problem(time=NOW - timedelta(minutes=30)) is None


@pytest.mark.parametrize(("minute", "fault"), [(44, None), (46, QuoteFault.HALTED)])  # lunch is from 2:30 to 3:30 UTC
def test_a_lunch_break_is_no_halt(minute: int, fault: QuoteFault | None) -> None:
    now = datetime(2024, 7, 1, 3, minute, tzinfo=UTC)
    found = problem(exchange="XTKS", now=now, time=datetime(2024, 7, 1, 2, 15, tzinfo=UTC))
    assert (found and found.fault) == fault


@pytest.mark.parametrize(
    ("factor", "told"), [(0.01, "about a hundredth of that"), (100.0, "about a hundred times that"), (0.0085, "a hundredth")]
)
def test_it_refuses_a_wrong_unit(factor: float, told: str) -> None:
    fault, text = refusal(**scaled(factor))
    assert fault == QuoteFault.UNIT
    assert told in text


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        (1 / 2, "a split of 2:1"),
        (1 / 3, "a split of 3:1"),
        (2 / 3, "a split of 3:2"),
        (2 / 5, "a split of 5:2"),
        (1 / 20, "a split of 20:1"),
        (2, "a reverse split of 1:2"),
        (10, "a reverse split of 1:10"),
    ],
)
def test_it_tells_a_split_that_the_bars_do_not_know(factor: float, told: str) -> None:
    fault, text = refusal(**scaled(factor))
    assert fault == QuoteFault.SPLIT
    assert text.endswith(f"{told}, which the bars do not know yet")


def test_it_names_open_and_last_close_of_a_split() -> None:
    expected = "open is 50.5 after a last close of 100: a split of 2:1, which the bars do not know yet"
    assert refusal(**scaled(1 / 2)) == (QuoteFault.SPLIT, expected)


def test_a_split_shows_at_the_open_although_the_price_has_moved_since() -> None:
    assert refusal(**scaled(1 / 2) | {"price": 57.0, "high": 58.0})[0] == QuoteFault.SPLIT


def test_a_crash_during_the_session_is_no_split() -> None:
    assert problem(price=66.7, low=66.0) is None


@pytest.mark.parametrize("factor", [0.70, 0.75, 0.8, 1.33, 1.5, 1.8])
def test_an_honest_gap_is_good(factor: float) -> None:
    assert problem(**scaled(factor)) is None


@pytest.mark.parametrize(
    ("price", "told"), [(49.0, "price is 49 after a last close of 100, -51 %: implausible"), (210.0, "+110 %: implausible")]
)
def test_it_refuses_an_implausible_move(price: float, told: str) -> None:
    fault, text = refusal(price=price, low=min(price, 100.0), high=max(price, 103.0))
    assert fault == QuoteFault.MOVE
    assert told in text


@pytest.mark.parametrize(("minutes", "delayed"), [(0, False), (5, False), (6, True), (15, True)])
def test_a_quote_is_delayed_from_five_minutes_on(minutes: int, delayed: bool) -> None:
    assert is_delayed(GOOD, now=NOW + timedelta(minutes=minutes)) is delayed
