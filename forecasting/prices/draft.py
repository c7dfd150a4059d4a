"""Working state of the quality gate: bars as arrays, a mask of the kept bars, findings and breaks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.prices.bars import COLUMNS, PRICES
from forecasting.prices.findings import Finding, Rule, Verdict, listed

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

USUAL_BARS = 60  # bars before a bar, about a quarter, whose median is its usual value
FEWEST = 5  # minimum number of values for a usual value


@dataclass(frozen=True, slots=True)
class Break:
    """A point across which the history is not continuous. The history may restart at `row`, the first row after the defect.

    `hard`: the prices before and after are not comparable, or are no prices. Across a soft break the earlier bars stay
    if too few bars follow.
    """

    row: int
    rule: Rule
    why: str
    hard: bool


@dataclass(slots=True)
class Draft:
    """The bars that the gate checks. Arrays are (bars,), ordered by date; repairs happen in place."""

    days: pd.DatetimeIndex
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array
    kept: Mask
    wrong: Mask  # bars left out because of wrong values, so without phantom holidays and suspensions
    findings: list[Finding] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    held_from: int | None = None  # first of the newest bars that wait until later sessions show if their level is right

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Draft":
        """From a frame with the contract's columns and index, in any order and with any values."""
        ordered = frame if frame.index.is_monotonic_increasing else frame.sort_index(kind="stable")
        kept = np.ones(len(ordered), dtype=bool)
        opened, high, low, close, volume = ordered.to_numpy().T.copy()
        return cls(pd.DatetimeIndex(ordered.index), opened, high, low, close, volume, kept, ~kept)

    def frame(self, begin: int, end: int) -> pd.DataFrame:
        """The kept bars of rows `begin` to `end`, `end` excluded."""
        rows = begin + np.flatnonzero(self.kept[begin:end])
        values = np.stack([getattr(self, name) for name in COLUMNS], axis=1)[rows]
        return pd.DataFrame(values, index=self.days[rows], columns=list(COLUMNS))

    def day(self, row: int) -> date:
        """The session of a row."""
        return self.days[row].date()

    def leave_out(self, rows: Rows, rule: Rule, text: Callable[[int, int], str], *, values: Array | None = None) -> None:
        """Drops the bars at `rows`. `text` gives the reason for a run of rows, from its first and last row."""
        self.kept[rows] = False
        self.wrong[rows] = True
        self.find(rows, rule, Verdict.LEFT_OUT, text, values=values)

    def find(
        self, rows: Rows, rule: Rule, verdict: Verdict, text: Callable[[int, int], str], *, values: Array | None = None
    ) -> None:
        """Adds a finding for each run of consecutive rows, `MOST_LISTED` at most. `values`: reported value, default the close."""
        shown = self.close if values is None else values

        def found(run: tuple[int, int]) -> Finding:
            value = float(shown[run[0]])
            return Finding(rule, verdict, self.day(run[0]), value if np.isfinite(value) else None, text(*run))

        self.findings += listed(list(runs(rows)), found)

    def span(self, first: int, last: int) -> str:
        """The session of one row, or the first and last session and the number of several rows."""
        if first == last:
            return f"{self.day(first)}"
        return f"{self.day(first)} to {self.day(last)} ({last - first + 1:,} bars)"


def runs(rows: Rows) -> Iterator[tuple[int, int]]:
    """First and last number of each run of consecutive numbers; `rows` must ascend."""
    if len(rows):
        ends = np.flatnonzero(np.diff(rows) > 1)
        for first, last in zip([0, *(ends + 1)], [*ends, len(rows) - 1], strict=True):
            yield int(rows[first]), int(rows[last])


def runs_of(mask: Mask) -> tuple[Rows, Rows]:
    """First and last row of each run of true values."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def usual_before(values: Array) -> Array:
    """(bars,): the median of the last `USUAL_BARS` values above zero before each bar; of the first ones if there are too few.

    Zeros do not count: on the days when an illiquid share trades, it moves as much as others. NaN if no value is above zero.
    """
    moving = np.flatnonzero(values > 0)
    if not len(moving):
        return np.full(len(values), np.nan)
    medians = pd.Series(values[moving]).rolling(USUAL_BARS, min_periods=FEWEST).median().to_numpy()
    medians = np.concatenate([[np.nan], medians])  # shifted by one: only values before each bar
    medians[np.isnan(medians)] = np.median(values[moving[:USUAL_BARS]])
    return medians[np.searchsorted(moving, np.arange(len(values)))]


def activity(volume: Array, close: Array, row: int) -> float:
    """Relative trading activity of a session: the smaller of volume / usual volume and turnover / usual turnover.

    Splits change volumes but not turnovers; rescaled prices change turnovers but not volumes. Sessions without trades do
    not count. NaN if too few sessions have trades.
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
