"""Detects what a price source changed in bars that it sent earlier: an adjustment, a correction, or settling of the newest bars.

Sources adjust prices backwards: a split or dividend multiplies every bar before its session by one ratio. Bars of different
adjustments must not be joined, so bars are compared before they are stored. A correction changes few bars. Settling means that
high, low, close or volume of the newest bars still moves slightly for some nights, for currency pairs every night.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.prices.bars import PRICES
from forecasting.prices.calendars import is_session

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Relative. Yahoo's prices have 7 digits (noise of 1e-7, adjusted 1e-6). The smallest dividends, such as one cent on a share of
# 150, move prices by 7e-5.
ROUNDING = 1e-5
NOISY = 6.0  # noise limit in multiples of the ratio's median change from bar to bar, for sources that round prices to cents
LEVEL_BARS = 5  # minimum number of bars with one ratio for an adjustment; fewer are corrections of single bars
SETTLING_BARS, SETTLED_MOVE = 2, 0.02  # newest stored bars that may still settle, and by which share of a price
ONE_RATIO = 1e-3  # relative tolerance for a ratio of integers
VOLUME_MOVED = 0.02  # relative change of volumes that proves a split; a dividend does not change them
SPLIT_TERM = 10  # without volumes, a ratio of integers up to this that is far enough from 1 counts as a split
UNIT, ONE_UNIT = 100.0, 0.02  # pence per pound, and its relative tolerance
# A correction matters to a model if enough returns or ranges change by more than NOTICEABLE times the usual size. Enough means
# more than MATTERING_BARS bars, and more than MATTERING_SHARE of all bars.
MATTERING_BARS, MATTERING_SHARE, NOTICEABLE = 5, 0.01, 0.1


class Reason(StrEnum):
    """Cause of a change."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    UNIT = "unit"
    CORRECTION = "correction"


RESCALING = (Reason.SPLIT, Reason.DIVIDEND, Reason.UNIT)  # one ratio for all bars before a session


@dataclass(frozen=True, slots=True)
class Change:
    """One restatement of a symbol's bars.

    `date`: first session after the rescaled bars, or first corrected session. `bars`: number of changed bars.
    `ratio`: new price / old price; None if a correction added or removed that session.
    `matters`: whether a model trained on the old bars should be retrained.
    """

    reason: Reason
    date: date
    ratio: float | None
    bars: int
    matters: bool = True


def continues(stored: pd.DataFrame, fetched: pd.DataFrame) -> bool:
    """Whether `fetched` repeats the bars of `stored`, so that its further bars have the same adjustment.

    `fetched` has not passed the quality gate. Volumes may differ, the newest bars may have settled, and `fetched` may have
    additional sessions. At least one older bar must agree, because only that proves the same adjustment.
    """
    if stored.empty or len(stored.index.difference(fetched.index)):
        return stored.empty
    sent = fetched[~fetched.index.duplicated()].loc[stored.index]
    old = _prices(stored)
    moved = np.abs(_log_ratios(old, _repaired(_prices(sent), old))).max(axis=1)
    settled = max(1, len(moved) - SETTLING_BARS)
    return bool((moved[:settled] <= ROUNDING).all() and (moved[settled:] <= SETTLED_MOVE).all())


def changes(stored: pd.DataFrame, fetched: pd.DataFrame, *, exchange: str) -> list[Change]:
    """The changes from the history `stored` to the whole history `fetched`, oldest first; none if the newest bars only settled.

    Bars before the first one of `fetched` do not count.
    """
    stored = stored[stored.index >= fetched.index[0]] if len(fetched) else stored[:0]
    shared = stored.index.intersection(fetched.index)
    if not len(shared):
        return []
    old, new = stored.loc[shared], fetched.loc[shared]
    ratios = _log_ratios(_prices(old), _prices(new))
    noise = max(ROUNDING, NOISY * float(np.median(np.abs(np.diff(ratios[:, -1])))) if len(shared) > 1 else 0.0)
    levels = _levels(ratios[:, -1], noise)
    corrected = np.abs(ratios - levels[:, None]).max(axis=1) > noise
    newest = slice(max(0, len(shared) - SETTLING_BARS), None)
    corrected[newest] &= np.abs(ratios - levels[:, None])[newest].max(axis=1) > SETTLED_MOVE
    moved = _came_or_went(stored, fetched, exchange)
    found = list(_rescalings(old, new, fetched, levels))
    if corrected.any() or moved:
        found.append(_correction(old, new, corrected, moved))
    return found


def differing(stored: pd.DataFrame, fetched: pd.DataFrame) -> pd.DatetimeIndex:
    """The sessions of both whose bars differ by more than rounding, volumes included."""
    days = stored.index.to_numpy(), fetched.index.to_numpy()
    shared, before, after = np.intersect1d(*days, assume_unique=True, return_indices=True)
    same = np.isclose(fetched.to_numpy()[after], stored.to_numpy()[before], rtol=ROUNDING, atol=0).all(axis=1)
    return pd.DatetimeIndex(shared[~same])


def _repaired(sent: Array, stored: Array) -> Array:
    """(bars, 4): the sent prices with the repairs of the stored ones, so that a repair does not count as a change."""
    is_close = np.array(PRICES) == "close"
    known = np.where((sent > 0) | is_close, sent, stored)
    known[:, PRICES.index("high")] = np.fmax.reduce(known, axis=1)
    known[:, PRICES.index("low")] = np.fmin.reduce(known, axis=1)
    return known


def _log_ratios(old: Array, new: Array) -> Array:
    """(bars, 4): log(new price / old price), the close last; infinite if the new price is not positive."""
    ratios = new / old
    logs: Array = np.log(ratios, out=np.full(ratios.shape, np.inf), where=ratios > 0)
    return logs


def _prices(bars: pd.DataFrame) -> Array:
    """(bars, 4): open, high, low, close."""
    return bars[list(PRICES)].to_numpy()


def _levels(ratio: Array, noise: float) -> Array:
    """(bars,): the log ratio of each bar's adjustment. Runs that are too short take the level of the following bars.

    Unadjusted newest bars may be a short run: after a dividend only the last few bars are not rescaled.
    """
    starts = np.flatnonzero(np.concatenate([[True], np.abs(np.diff(ratio)) > noise]))
    ends = np.append(starts[1:], len(ratio))
    levels = np.full(len(ratio), np.nan)
    for start, end in zip(starts, ends, strict=True):
        level = float(np.median(ratio[start:end]))
        if end - start >= min(LEVEL_BARS, len(ratio)) or (end == len(ratio) and abs(level) <= noise):
            levels[start:end] = level
    filled: Array = np.nan_to_num(pd.Series(levels).bfill().ffill().to_numpy())
    return filled


def _rescalings(old: pd.DataFrame, new: pd.DataFrame, fetched: pd.DataFrame, levels: Array) -> Iterator[Change]:
    """The adjustments, oldest first. Each rescales all bars before its date, so its ratio is the step between two levels."""
    steps = np.diff(np.append(levels, 0.0))
    ends = [int(place) + 1 for place in np.flatnonzero(np.abs(steps) > ROUNDING)]
    bounds = [0, *ends, len(old)]
    for start, end, after in zip(bounds[:-2], ends, bounds[2:], strict=True):
        later = fetched.index[fetched.index > old.index[end - 1]]
        first = later[0] if len(later) else old.index[end - 1] + pd.Timedelta(days=1)
        ratio = float(np.exp(-steps[end - 1]))
        volumes = _volume_ratio(old[start:end], new[start:end]) / _volume_ratio(old[end:after], new[end:after])
        yield Change(_cause(ratio, volumes), first.date(), ratio, end)


def _volume_ratio(old: pd.DataFrame, new: pd.DataFrame) -> float:
    """Median of new volume / old volume; 1 if no bar has both."""
    traded = (old["volume"] > 0) & (new["volume"] > 0)
    return float((new["volume"][traded] / old["volume"][traded]).median()) if traded.any() else 1.0


def _cause(ratio: float, volumes: float) -> Reason:
    """The cause that rescales prices by `ratio` and volumes by `volumes`."""
    if abs(volumes - 1) > VOLUME_MOVED:
        return Reason.SPLIT
    if min(abs(ratio / UNIT - 1), abs(ratio * UNIT - 1)) < ONE_UNIT:
        return Reason.UNIT
    return Reason.SPLIT if _looks_like_split(ratio) else Reason.DIVIDEND


def _looks_like_split(ratio: float) -> bool:
    smaller = min(ratio, 1 / ratio)
    return smaller <= 0.8 and abs(smaller / float(Fraction(smaller).limit_denominator(SPLIT_TERM) or 1) - 1) < ONE_RATIO


def _came_or_went(stored: pd.DataFrame, fetched: pd.DataFrame, exchange: str) -> list[pd.Timestamp]:
    """Sessions in the stored range that only one of the two frames has.

    New bars on closed days do not count, because the quality gate may have dropped them earlier. Late bars among the newest
    do not count either.
    """
    within = fetched.index[(fetched.index >= stored.index[0]) & (fetched.index <= stored.index[-1])]
    settled = stored.index[: max(1, len(stored) - SETTLING_BARS)][-1]
    came = [day for day in within.difference(stored.index) if day <= settled and is_session(exchange, day.date())]
    return [*stored.index.difference(fetched.index), *came]


def _correction(old: pd.DataFrame, new: pd.DataFrame, corrected: Mask, moved: list[pd.Timestamp]) -> Change:
    first = min([*old.index[corrected], *moved])
    ratio = None if first in moved else _largest_move(old.loc[first], new.loc[first])
    count = int(corrected.sum()) + len(moved)
    needed = max(MATTERING_BARS, MATTERING_SHARE * len(old))
    matters = _noticeable(old, new) + len(moved) > needed
    return Change(Reason.CORRECTION, first.date(), ratio, count, matters)


def _noticeable(old: pd.DataFrame, new: pd.DataFrame) -> int:
    """Number of bars whose return or range, the inputs of the models, changed noticeably."""
    moved = np.zeros(len(old) - 1, dtype=bool)
    for before, after in zip(_returns_and_ranges(old), _returns_and_ranges(new), strict=True):
        usual = np.median(np.abs(before)[before != 0]) if before.any() else 0.0
        moved |= np.abs(after - before) > max(NOTICEABLE * usual, ROUNDING)
    return int(moved.sum())


def _returns_and_ranges(bars: pd.DataFrame) -> tuple[Array, Array]:
    return np.diff(np.log(bars["close"].to_numpy())), np.log(bars["high"].to_numpy() / bars["low"].to_numpy())[1:]


def _largest_move(old: pd.Series, new: pd.Series) -> float:
    """The ratio farthest from 1 among the prices of one bar."""
    ratios = (new[list(PRICES)] / old[list(PRICES)]).to_numpy(dtype=float)
    return float(ratios[np.abs(np.log(ratios)).argmax()])
