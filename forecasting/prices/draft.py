"""Bars while the quality gate judges them: columns as arrays, which bars are still kept, and what was found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.prices.bars import COLUMNS, PRICES
from forecasting.prices.findings import MOST_LISTED, Finding, Rule, Verdict

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

USUAL_BARS = 60  # before a bar, about a quarter; their medians are what is usual
FEWEST = 5  # values that say what is usual


@dataclass(frozen=True, slots=True)
class Break:
    """A place that the history cannot be continued over: it may begin at `row`, the first one after what is wrong.

    `hard`: prices before and after are not comparable, or not prices at all. Otherwise the bars in between are left out and
    those before may stay if too few follow.
    """

    row: int
    rule: Rule
    why: str
    hard: bool


@dataclass(slots=True)
class Draft:
    """A frame under judgement. Arrays are (bars,), in the order of their dates; repairs are made in place."""

    days: pd.DatetimeIndex
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    kept: Mask
    wrong: Mask  # of those that are not kept: the bars that no other bar explains, unlike phantoms and suspensions
    findings: list[Finding] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    held_from: int | None = None  # the first of the newest bars that must wait, because nothing tells yet which side is right

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Draft":
        """Of a frame with the contract's columns and index, in any order and with any values."""
        ordered = frame if frame.index.is_monotonic_increasing else frame.sort_index(kind="stable")
        kept = np.ones(len(ordered), dtype=bool)
        opened, high, low, close, volume = ordered.to_numpy().T.copy()
        return cls(pd.DatetimeIndex(ordered.index), opened, high, low, close, volume, kept, ~kept)

    def frame(self, begin: int, end: int) -> pd.DataFrame:
        """The kept bars of the rows from `begin` up to but not including `end`."""
        rows = begin + np.flatnonzero(self.kept[begin:end])
        values = np.stack([getattr(self, name) for name in COLUMNS], axis=1)[rows]
        return pd.DataFrame(values, index=self.days[rows], columns=list(COLUMNS))

    def day(self, row: int) -> date:
        """The session of a row."""
        return self.days[row].date()

    def leave_out(self, rows: Rows, rule: Rule, text: Callable[[int, int], str], *, values: Array | None = None) -> None:
        """Drops the bars at `rows`; `text` says why, of a run from its first to its last row."""
        self.kept[rows] = False
        self.wrong[rows] = True
        self.find(rows, rule, Verdict.LEFT_OUT, text, values=values)

    def find(
        self, rows: Rows, rule: Rule, verdict: Verdict, text: Callable[[int, int], str], *, values: Array | None = None
    ) -> None:
        """Adds a finding for each run of consecutive rows, `MOST_LISTED` at most. `values`: what is shown, the close by default."""
        shown = self.close if values is None else values
        found = list(runs(rows))
        for first, last in found[:MOST_LISTED]:
            value = float(shown[first])
            self.findings.append(Finding(rule, verdict, self.day(first), value if np.isfinite(value) else None, text(first, last)))
        if (more := len(found) - MOST_LISTED) > 0:
            self.findings[-1] = replace(self.findings[-1], text=f"{self.findings[-1].text}; {more:,} more follow")

    def span(self, first: int, last: int) -> str:
        """The session of a row, or the first and last session of several rows and their number."""
        if first == last:
            return f"{self.day(first)}"
        return f"{self.day(first)} to {self.day(last)} ({last - first + 1:,} bars)"


def runs(rows: Rows) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers; `rows` ascend."""
    if len(rows):
        ends = np.flatnonzero(np.diff(rows) > 1)
        for first, last in zip([0, *(ends + 1)], [*ends, len(rows) - 1], strict=True):
            yield int(rows[first]), int(rows[last])


def runs_of(mask: Mask) -> tuple[Rows, Rows]:
    """First and last row of each run of true values."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def usual_before(values: Array) -> Array:
    """(bars,): the median of the last `USUAL_BARS` values above zero before each bar; of the first ones if too few are before.

    Zeros do not count: a share that trades on a third of all days moves as much as others when it does. NaN if none is above zero.
    """
    moving = np.flatnonzero(values > 0)
    if not len(moving):
        return np.full(len(values), np.nan)
    medians = pd.Series(values[moving]).rolling(USUAL_BARS, min_periods=FEWEST).median().to_numpy()
    medians = np.concatenate([[np.nan], medians])  # of the values before each of them, and before whatever follows
    medians[np.isnan(medians)] = np.median(values[moving[:USUAL_BARS]])
    return medians[np.searchsorted(moving, np.arange(len(values)))]


def activity(volume: Array, close: Array, row: int) -> float:
    """How busy a session was: its volume over the usual one, or its turnover likewise, whichever is less; NaN if nothing tells.

    Splits change volumes but not turnovers, rescaled prices change turnovers but not volumes. Sessions without trades do not count.
    """
    before = slice(max(0, row - USUAL_BARS), row)
    traded = volume[before] > 0
    if traded.sum() < 2 * FEWEST:
        return float("nan")
    volumes = volume[before][traded]
    turnovers = volumes * close[before][traded]
    return float(min(volume[row] / np.median(volumes), volume[row] * close[row] / np.median(turnovers)))


def prices_of(draft: Draft) -> Array:
    """(bars, 4): open, high, low, close."""
    return np.column_stack([getattr(draft, name) for name in PRICES])
