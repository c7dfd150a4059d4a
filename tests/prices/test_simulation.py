"""The sample source: determined by seed and symbol, realistic, and with unpredictable returns."""

import time
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.calendars import sessions
from forecasting.prices.simulation import FIRST_SESSION, Simulation
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


@pytest.mark.parametrize("symbol", ["SAMPLE1", "SAMPLE50", "SAMPLE99"])
def test_its_bars_keep_the_contract_without_repair(symbol: str) -> None:
    bars = history(symbol)
    assert keeps_contract(bars)


def test_prices_have_two_decimals() -> None:
    prices = history("SAMPLE3")[["open", "high", "low", "close"]]
    assert (prices == prices.round(2)).all(axis=None)


def test_prices_stay_at_a_realistic_level() -> None:
    medians = [history(symbol)["close"].median() for symbol in SYMBOLS]
    assert 10 < min(medians) < max(medians) < 400


@pytest.mark.parametrize("symbol", ["SAMPLE0", "SAMPLE01", "SAMPLE100", "SAMPLE", "sample1", "SAMPLE1\n", "AAPL"])
def test_it_does_not_know_other_symbols(symbol: str) -> None:
    with pytest.raises(UnknownSymbolError, match="only the symbols SAMPLE1 to SAMPLE99"):
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
