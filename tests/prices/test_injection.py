"""Injects defects into clean real histories: the gate's hit rate for each kind, and its findings in histories without defects.

Outside the defect, stored bars must equal the clean history within rounding. A refusal counts as a hit. Every eighth file is
used; STOCKPRED_INJECT_ALL=1 uses all of them. `-s` prints the table and the misses.
"""

import os
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from forecasting.prices.bars import BadBarsError
from forecasting.prices.calendars import exchange_of
from forecasting.prices.findings import Verdict
from forecasting.prices.quality import Checked, check_bars
from tests.prices.defects import KINDS, is_clean
from tests.prices.shared_data import folders, needs, prices, tickers

EVERY = 1 if os.environ.get("STOCKPRED_INJECT_ALL") else 8
SHORTEST = 700  # minimum number of bars of a history
BEFORE, AFTER = 100, 30  # bars around a defect
# Minimum hit rates. Over all 196 clean histories, 100 % of the kinds not listed here were found. The others reached, in this
# order, 99.5, 98.7, 98.3, 98.2, 98.0, 98.0, 95.6 and 95.4 %. Missed defects resemble weeks of real volatility.
SURE = 0.99
FLOORS = dict.fromkeys(KINDS, SURE) | {
    "split of 3:1 or more": 0.98,
    "spike of 60 % or more": 0.97,
    "high or low twice as far or more": 0.96,
    "false step of half or more": 0.96,
    "open away by half or more": 0.96,
    "split of 2:1": 0.95,
    "spike of 30 to 60 %": 0.93,
    "split of 3:2": 0.93,
}
CRASHES = {
    ("PETR4.SA", "2020-03-09"): -0.297, ("CSNA3.SA", "2020-03-09"): -0.253, ("QUAL3.SA", "2018-10-01"): -0.294,
    ("INTC", "2024-08-02"): -0.261, ("LOW", "2020-03-16"): -0.248, ("VALE3.SA", "2019-01-28"): -0.246,
    ("BRKM5.SA", "2020-03-18"): -0.245,
}  # fmt: skip


def gate(bars: pd.DataFrame, ticker: str) -> Checked:
    return check_bars(bars, symbol=ticker, exchange=exchange_of(ticker))


def clean_histories() -> Iterator[tuple[str, pd.DataFrame]]:
    """The bars of the sampled files that pass the gate, by symbol."""
    files = [(folder, ticker) for folder in ("prices", *folders("markets")) for ticker in tickers(folder)]
    for folder, ticker in files[::EVERY]:
        try:
            clean = gate(prices(folder, ticker), ticker)
        except BadBarsError:
            continue
        if len(clean.bars) >= SHORTEST and not clean.held:
            yield ticker, clean.bars


def is_found(wrong: pd.DataFrame, clean: pd.DataFrame, ticker: str) -> bool:
    try:
        return is_clean(gate(wrong, ticker).bars, clean)
    except BadBarsError:
        return True


def hits(kind: str, histories: list[tuple[str, pd.DataFrame]]) -> dict[tuple[str, int, object], bool]:
    """Maps symbol, number of the defect and session to whether the gate found it. Symbol and kind determine the sessions."""
    found = {}
    for ticker, clean in histories:
        for number, defect in enumerate(KINDS[kind]):
            rng = np.random.default_rng([7, *ticker.encode(), *kind.encode(), number])
            row = int(rng.integers(BEFORE, len(clean) - AFTER))
            found[ticker, number, clean.index[row].date()] = is_found(defect(clean, row), clean, ticker)
    return found


@pytest.fixture(scope="module")
def histories() -> list[tuple[str, pd.DataFrame]]:
    return list(clean_histories())


@needs("prices")
@needs("markets")
@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_in_a_clean_history_is_found(kind: str, histories: list[tuple[str, pd.DataFrame]]) -> None:
    found = hits(kind, histories)
    rate, misses = float(np.mean(list(found.values()))), [place for place, hit in found.items() if not hit]
    print(f"{kind:40} {len(found):6,} {100 * rate:6.1f} %", *misses)  # noqa: T201
    assert rate >= FLOORS[kind], misses


@needs("prices")
@pytest.mark.parametrize("ticker", tickers("prices"))
def test_no_bar_of_a_clean_file_is_left_out_or_waits(ticker: str) -> None:
    passed = gate(prices("prices", ticker), ticker)
    assert [each for each in passed.findings if each.verdict in (Verdict.LEFT_OUT, Verdict.REFUSED)] == []


@needs("prices")
@pytest.mark.parametrize(("ticker", "day"), CRASHES)
def test_a_real_crash_stays(ticker: str, day: str) -> None:
    change = gate(prices("prices", ticker), ticker).bars["close"].pct_change()
    assert change[day] == pytest.approx(CRASHES[ticker, day], abs=0.001)


@needs("prices")
@pytest.mark.parametrize(("ticker", "day"), CRASHES)
def test_a_real_crash_does_not_wait_for_the_next_session(ticker: str, day: str) -> None:
    newest = gate(prices("prices", ticker)[:day], ticker)
    assert (newest.held, newest.bars.index[-1]) == ("", pd.Timestamp(day))


@needs("long")
@pytest.mark.parametrize("ticker", tickers("long"))
def test_a_whole_history_can_be_trained_on(ticker: str) -> None:
    passed = gate(prices("long", ticker), ticker)
    assert passed.held == ""
    assert len(passed.bars) >= SHORTEST
