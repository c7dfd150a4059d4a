"""The sample source: determined by seed and symbol, realistic, and with unpredictable returns."""

import time
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.calendars import exchange_of, last_completed_session, sessions
from forecasting.prices.quotes import Quote, quote_problem
from forecasting.prices.simulation import FIRST_SESSION, LEAD, LEAD_CORRELATION, Simulation
from forecasting.prices.sources import UnknownSymbolError
from tests.prices.contract import keeps_contract

LAST = date(2025, 12, 31)
SYMBOLS = [f"SAMPLE{number}" for number in range(1, 31)]


def history(symbol: str, *, seed: int = 42, since: date | None = None, through: date = LAST) -> pd.DataFrame:
    return Simulation(seed=seed).fetch(symbol, since=since, through=through).bars


def log_returns() -> list[np.ndarray]:
    return [np.diff(np.log(history(symbol)["close"].to_numpy())) for symbol in SYMBOLS]


def test_the_same_seed_and_symbol_give_the_same_bars() -> None:
    pd.testing.assert_frame_equal(history("SAMPLE7"), history("SAMPLE7"))


def test_another_seed_gives_other_bars() -> None:
    assert not history("SAMPLE7").equals(history("SAMPLE7", seed=43))


def test_another_symbol_gives_other_bars() -> None:
    assert not history("SAMPLE7").equals(history("SAMPLE8"))


@pytest.mark.parametrize("through", [FIRST_SESSION, date(2015, 1, 5), date(2019, 7, 4), date(2025, 12, 30)])
def test_a_bar_does_not_depend_on_the_requested_range(through: date) -> None:
    whole = history("SAMPLE3")
    pd.testing.assert_frame_equal(history("SAMPLE3", through=through), whole.loc[: pd.Timestamp(through)])


def test_since_leaves_out_earlier_bars() -> None:
    since = date(2024, 7, 4)
    pd.testing.assert_frame_equal(history("SAMPLE3", since=since), history("SAMPLE3").loc[pd.Timestamp(since) :])


def test_there_is_nothing_before_the_first_session() -> None:
    assert history("SAMPLE3", through=date(2015, 1, 1)).empty


def test_its_sessions_are_those_of_new_york() -> None:
    expected = sessions("XNYS", first=FIRST_SESSION, last=LAST)
    pd.testing.assert_index_equal(history("SAMPLE3").index, expected)


@pytest.mark.parametrize("symbol", ["SAMPLE1", "SAMPLE50", "SAMPLE99", "SAMPLE1.T", "SAMPLE1-USD", "SPY"])
def test_its_bars_keep_the_contract_without_repair(symbol: str) -> None:
    bars = history(symbol)
    assert keeps_contract(bars)


def test_prices_have_two_decimals() -> None:
    prices = history("SAMPLE3")[["open", "high", "low", "close"]]
    assert (prices == prices.round(2)).all(axis=None)


def test_prices_stay_at_a_realistic_level() -> None:
    medians = [history(symbol)["close"].median() for symbol in SYMBOLS]
    assert 10 < min(medians) < max(medians) < 400


@pytest.mark.parametrize(
    "symbol", ["SAMPLE0", "SAMPLE01", "SAMPLE100", "SAMPLE", "sample1", "SAMPLE1\n", "AAPL", "SAMPLE1.SA", "SAMPLE1-EUR", "SPY.T"]
)
def test_it_does_not_know_other_symbols(symbol: str) -> None:
    with pytest.raises(UnknownSymbolError, match="only SAMPLE1 to SAMPLE99"):
        history(symbol)


def test_it_quotes_in_dollars() -> None:
    assert Simulation(seed=42).fetch("SAMPLE1", since=None, through=LAST).currency == "USD"


def test_returns_do_not_follow_from_the_last_return() -> None:
    returns = log_returns()
    correlation = np.mean([np.corrcoef(series[1:], series[:-1])[0, 1] for series in returns])
    assert abs(correlation) < 3 / np.sqrt(sum(map(len, returns)))


def test_returns_have_no_drift() -> None:
    scaled = np.concatenate([series / series.std() for series in log_returns()])
    assert abs(scaled.mean()) < 3 / np.sqrt(len(scaled))


def test_volatility_follows_from_recent_volatility() -> None:
    for series in log_returns():
        recent = pd.Series(series**2).ewm(alpha=0.06).mean().to_numpy()
        assert np.corrcoef(np.abs(series[61:]), np.sqrt(recent[60:-1]))[0, 1] > 0.1


def test_returns_have_fat_tails() -> None:
    kurtosis = [((series - series.mean()) ** 4).mean() / series.var() ** 2 for series in log_returns()]
    assert min(kurtosis) > 4


def test_volume_grows_with_the_move() -> None:
    bars = history("SAMPLE5")
    move = np.abs(np.diff(np.log(bars["close"])))
    assert np.corrcoef(np.log(bars["volume"].to_numpy()[1:]), move)[0, 1] > 0.3


def test_eleven_years_take_less_than_a_tenth_of_a_second() -> None:
    history("SAMPLE1")  # builds the calendar
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        history("SAMPLE1")
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.1


# Two markets


def lead_and_led(symbol: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By session of Tokyo: the lead's move since the last close, the opening gap, and the move after the open; log returns."""
    led, lead = history(symbol), history(LEAD)["close"]
    before = np.searchsorted(lead.index, led.index)  # the lead's sessions of earlier dates
    known = np.log(lead.to_numpy()[before - 1])
    close, opens = np.log(led["close"].to_numpy()), np.log(led["open"].to_numpy())
    return np.diff(known)[1:], (opens[1:] - close[:-1])[1:], (close - opens)[2:]


def test_the_symbols_of_tokyo_follow_new_york_by_a_known_amount() -> None:
    each = [lead_and_led(f"SAMPLE{number}.T") for number in range(1, 21)]
    whole = [np.corrcoef(lead, gap + move)[0, 1] for lead, gap, move in each]
    assert np.mean(whole) == pytest.approx(LEAD_CORRELATION, abs=0.05)  # changes of volatility hide a part


def test_all_of_it_is_in_the_opening_gap() -> None:
    each = [lead_and_led(f"SAMPLE{number}.T") for number in range(1, 21)]
    assert np.mean([np.corrcoef(lead, move)[0, 1] for lead, _, move in each]) == pytest.approx(0, abs=0.02)


def test_sessions_of_tokyo_are_those_of_its_calendar_and_prices_are_in_yen() -> None:
    found = Simulation(seed=42).fetch("SAMPLE3.T", since=None, through=LAST)
    pd.testing.assert_index_equal(found.bars.index, sessions("XTKS", first=FIRST_SESSION, last=LAST))
    assert found.currency == "JPY"


def test_a_led_bar_does_not_depend_on_what_its_lead_did_later() -> None:
    for through in (date(2019, 7, 4), date(2019, 7, 5), date(2019, 7, 8)):
        pd.testing.assert_frame_equal(history("SAMPLE3.T", through=through), history("SAMPLE3.T").loc[: pd.Timestamp(through)])


# Quotes


def quote_at(symbol: str, *now: int, through: date) -> Quote | None:
    """The quote at a time in UTC: year, month, day, hour, minute."""
    moment = datetime(*now, tzinfo=UTC)  # type: ignore[misc,arg-type]
    return Simulation(seed=42, clock=lambda: moment).fetch(symbol, since=None, through=through).quote


@pytest.mark.parametrize(
    ("symbol", "now", "session"),
    [
        ("SAMPLE1", (2025, 7, 1, 16, 0), date(2025, 7, 1)),
        ("SPY", (2025, 7, 1, 13, 30), date(2025, 7, 1)),
        ("SAMPLE1.T", (2025, 7, 1, 5, 0), date(2025, 7, 1)),
        ("SAMPLE1-USD", (2025, 7, 5, 12, 0), date(2025, 7, 5)),  # a Saturday
        ("SAMPLE1-USD", (2025, 12, 25, 3, 0), date(2025, 12, 25)),
    ],
)
def test_a_session_under_way_has_a_good_quote(symbol: str, now: tuple[int, ...], session: date) -> None:
    exchange, moment = exchange_of(symbol), datetime(*now, tzinfo=UTC)  # type: ignore[misc,arg-type]
    last_bar = last_completed_session(exchange, now=moment)
    quote = quote_at(symbol, *now, through=last_bar)
    assert quote
    assert (quote.session, quote.time) == (session, moment)
    last_close = history(symbol, through=last_bar)["close"].iloc[-1]
    assert quote_problem(quote, exchange=exchange, last_bar=last_bar, last_close=last_close, now=moment) is None


@pytest.mark.parametrize("now", [(2025, 7, 1, 13, 29), (2025, 7, 1, 20, 30), (2025, 7, 4, 15, 0), (2025, 7, 5, 15, 0)])
def test_a_closed_exchange_has_no_quote(now: tuple[int, ...]) -> None:
    assert quote_at("SAMPLE1", *now, through=date(2025, 6, 30)) is None


def test_there_is_no_quote_of_a_session_whose_bar_was_asked_for() -> None:
    assert quote_at("SAMPLE1", 2025, 7, 1, 20, 10, through=date(2025, 7, 1)) is None


@pytest.mark.parametrize(
    ("symbol", "now"), [("SAMPLE4", (2025, 7, 1, 20, 5)), ("SAMPLE4.T", (2025, 7, 1, 6, 35)), ("SAMPLE4-USD", (2025, 7, 2, 0, 5))]
)
def test_the_last_quote_is_the_bar(symbol: str, now: tuple[int, ...]) -> None:
    quote = quote_at(symbol, *now, through=date(2025, 6, 30))
    assert quote
    expected = history(symbol, through=date(2025, 7, 1)).iloc[-1]
    assert [quote.open, quote.high, quote.low, quote.price, quote.volume] == expected.tolist()


def test_each_session_and_symbol_has_a_course_of_its_own() -> None:
    asked = [("SAMPLE4-USD", 1), ("SAMPLE4-USD", 2), ("SAMPLE5-USD", 1)]
    quotes = [quote_at(symbol, 2025, 7, day, 12, 0, through=date(2025, 6, 30)) for symbol, day in asked]
    assert len({quote.price for quote in quotes if quote}) == 3


def test_a_quote_does_not_change_the_bars() -> None:
    moment = datetime(2025, 7, 1, 16, tzinfo=UTC)
    found = Simulation(seed=42, clock=lambda: moment).fetch("SAMPLE3", since=None, through=date(2025, 6, 30)).bars
    pd.testing.assert_frame_equal(found, history("SAMPLE3", through=date(2025, 6, 30)))


def test_the_sessions_of_a_coin_are_all_days() -> None:
    found = Simulation(seed=42).fetch("SAMPLE3-USD", since=None, through=LAST)
    pd.testing.assert_index_equal(found.bars.index, sessions("24/7", first=FIRST_SESSION, last=LAST))
    assert found.currency == "USD"
