"""Injects defects into clean histories. One function per kind: from bars, a row and a generator to bars with the defect."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from forecasting.prices.bars import PRICES

Defect = Callable[[pd.DataFrame, int], pd.DataFrame]


def rescaled(factor: float, count: int = 1) -> Defect:
    """All prices of `count` bars times a factor: a wrong unit or price."""
    return lambda bars, row: _changed(bars, slice(row, row + count), lambda part: part * factor)


def split(factor: float) -> Defect:
    """An unadjusted or false split: prices before a session times a factor, volumes divided by it."""

    def defect(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        wrong = _changed(bars, slice(0, row), lambda part: part * factor)
        return _changed(wrong, slice(0, row), lambda part: part / factor, ("volume",))

    return defect


def step(factor: float) -> Defect:
    """A wrong factor on prices, not on volumes, from a session on."""
    return lambda bars, row: _changed(bars, slice(row, len(bars)), lambda part: part * factor)


def value(column: str, number: float) -> Defect:
    """One changed value of one bar."""
    return lambda bars, row: _changed(bars, slice(row, row + 1), lambda part: part * 0 + number, (column,))


def stretched(column: str, factor: float) -> Defect:
    """One price of one bar times a factor; the high is raised, or the low is lowered, to contain it."""

    def defect(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        wrong = _changed(bars, slice(row, row + 1), lambda part: part * factor, (column,))
        prices = wrong[list(PRICES)]
        return wrong.assign(high=prices.max(axis="columns"), low=prices.min(axis="columns"))

    return defect


def frozen(count: int, *, volume: float | None = 0.0) -> Defect:
    """`count` bars that repeat the previous one, with its volume or without volume."""

    def defect(bars: pd.DataFrame, row: int) -> pd.DataFrame:
        there = np.zeros(len(bars), dtype=bool)
        there[row : row + count] = True
        before = bars.iloc[row - 1].to_dict() | ({} if volume is None else {"volume": volume})
        return bars.assign(**{name: bars[name].mask(there, before[name]) for name in bars.columns})

    return defect


def missing(count: int) -> Defect:
    """`count` sessions without bars."""
    return lambda bars, row: bars.drop(bars.index[row : row + count])


KINDS: dict[str, list[Defect]] = {
    "hundredfold or hundredth of 1 bar": [rescaled(100), rescaled(0.01)],
    "hundredfold or hundredth of 3 bars": [rescaled(100, 3), rescaled(0.01, 3)],
    "hundredfold or hundredth of 15 bars": [rescaled(100, 15), rescaled(0.01, 15)],
    "hundredfold or hundredth of 150 bars": [rescaled(100, 150), rescaled(0.01, 150)],
    "close of 0, below 0, or none": [value("close", number) for number in (0.0, -3.0, np.nan)],
    "open of 0, or none": [value("open", number) for number in (0.0, np.nan)],
    "volume below 0, or none": [value("volume", number) for number in (-1.0, np.nan)],
    "spike of 60 % or more": [rescaled(0.1), rescaled(0.4), rescaled(2.0), rescaled(5.0, 3)],
    "spike of 30 to 60 %": [rescaled(0.7), rescaled(1.4), rescaled(0.6, 2)],
    "high or low twice as far or more": [stretched("high", 2.0), stretched("low", 0.5), stretched("high", 10.0)],
    "open away by half or more": [stretched("open", 1.5), stretched("open", 0.5), stretched("open", 0.01)],
    "split of 3:1 or more": [split(3), split(4), split(10), split(0.1), split(0.05)],
    "split of 2:1": [split(2), split(0.5)],
    "split of 3:2": [split(1.5), split(2 / 3)],
    "false step of half or more": [step(0.5), step(2.0), step(2.19), step(0.1)],
    "suspension of 25 to 60 bars": [frozen(25), frozen(60)],
    "6 copied bars": [frozen(6, volume=None)],
    "a year without bars": [missing(260)],
}


def is_clean(stored: pd.DataFrame, clean: pd.DataFrame) -> bool:
    """Whether all stored bars equal those of the clean history within rounding, up to one common factor."""
    prices = [column for column in PRICES if column != "open"]
    ratio = stored[prices].to_numpy() / clean.loc[stored.index, prices].to_numpy()
    return bool(np.allclose(ratio, np.median(ratio), rtol=1e-9, atol=0))


def _changed(
    bars: pd.DataFrame, rows: slice, change: Callable[[pd.DataFrame], pd.DataFrame], columns: tuple[str, ...] = PRICES
) -> pd.DataFrame:
    there = np.zeros(len(bars), dtype=bool)
    there[rows] = True
    part = bars[list(columns)]
    return bars.assign(**{name: part[name].where(~there, change(part)[name]) for name in columns})
