"""Prices that stand still and volume that is not there, for longer than markets do that. A part of the quality gate.

Returns of nothing teach a network that nothing happens, and drive the volatility that targets are divided by to zero.
"""

from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.bars import PRICES
from forecasting.pipeline.findings import Finding, Rule, Verdict, listed

Rows = npt.NDArray[np.intp]

STILL = 5  # bars equal in all four prices to the one before, in a row, that are noted; refused where the volume repeats too
FROZEN = 20  # such bars, about a month, that are refused in any case
YEAR = 250  # sessions
UNTRADED = 0.95  # share of a year's sessions without volume from which on a share's prices are not from trades


def stillness_findings(bars: pd.DataFrame, *, symbol: str) -> list[Finding]:
    """Stale runs, and years without trades, in bars that keep the contract."""
    return [*_stale_runs(bars), *_untraded_years(bars, symbol)]


def _stale_runs(bars: pd.DataFrame) -> list[Finding]:
    prices, volume = bars[list(PRICES)].to_numpy(), bars["volume"].to_numpy()
    same = np.zeros(len(bars), dtype=bool)
    same[1:] = (prices[1:] == prices[:-1]).all(axis=1)
    copied = np.zeros(len(bars), dtype=bool)
    copied[1:] = same[1:] & (volume[1:] == volume[:-1]) & (volume[1:] > 0)
    first, last = _runs(same)
    length = last - first + 1
    long = np.flatnonzero(length >= STILL)

    def finding(run: int) -> Finding:
        row, bars_in_run = int(first[run]), int(length[run])
        close = float(bars["close"].iloc[row])
        repeats = bool(copied[row : row + bars_in_run].all())
        verdict = Verdict.REFUSED if repeats or bars_in_run >= FROZEN else Verdict.NOTED
        what = "prices and volume" if repeats else "prices"
        text = (
            f"{bars_in_run} bars from {_day(bars, row)} to {_day(bars, int(last[run]))} repeat the {what} before, close {close:g}"
        )
        return Finding(Rule.STALE, verdict, _day(bars, row), close, text)

    # Those that are refused first: they must not be among the ones that are only counted.
    return listed(long[np.argsort(-length[long], kind="stable")], finding)


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """First and last row of each run of true values."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def _untraded_years(bars: pd.DataFrame, symbol: str) -> list[Finding]:
    """The end of the first year almost without trades. Indices, currencies and futures may have no volume at all."""
    if len(bars) < YEAR or symbol.startswith("^") or "=" in symbol:
        return []
    volume = bars["volume"].to_numpy()
    untraded = np.convolve(volume == 0, np.ones(YEAR), mode="valid")
    rows = np.flatnonzero(untraded >= UNTRADED * YEAR)
    if not len(rows):
        return []
    end, count = int(rows[0]) + YEAR - 1, int(untraded[rows[0]])
    text = f"{count} of the {YEAR} bars up to {_day(bars, end)} are without volume: these prices are not from trades"
    return [Finding(Rule.NO_TRADES, Verdict.REFUSED, _day(bars, end), float(count), text)]


def _day(bars: pd.DataFrame, row: int) -> date:
    return pd.DatetimeIndex(bars.index)[row].date()
