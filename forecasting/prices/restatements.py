"""What a price source changed in bars that it had sent before: an adjustment, a correction, or the newest bars settling.

Sources adjust prices backwards: a split or a dividend multiplies every bar before its session by one ratio. A history must
therefore never be continued with bars of another adjustment; whoever stores bars compares first. A correction changes few bars.
The newest bars settle: for some nights their high, low, close or volume still moves a little, in currency pairs every night.
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

# Relative. Yahoo's prices carry 7 digits (noise of 1e-7, 1e-6 where adjusted); the smallest dividends that are paid, such as
# one cent on a share of 150, move prices by 7e-5.
ROUNDING = 1e-5
NOISY = 6.0  # times the usual change of the ratio from bar to bar; sources that round prices to cents spread one ratio so far
LEVEL_BARS = 5  # bars of one ratio that make an adjustment; fewer are corrections of single bars
SETTLING_BARS, SETTLED_MOVE = 2, 0.02  # the newest stored bars, and the share of a price by which theirs may move
ONE_RATIO = 1e-3  # relative; as near as this a ratio counts as one of whole numbers
VOLUME_MOVED = 0.02  # a dividend leaves volumes alone, a split divides them
SPLIT_TERM = 10  # where volumes tell nothing, a ratio of whole numbers up to this, far enough from 1, is taken for a split
UNIT, ONE_UNIT = 100.0, 0.02  # pence in a pound; relative, as near as this a ratio counts as it
# A correction matters to a model if it moves the return or range of more bars than this by more than this share of the usual.
MATTERING_BARS, MATTERING_SHARE, NOTICEABLE = 5, 0.01, 0.1


class Reason(StrEnum):
    """What changed the bars."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    UNIT = "unit"
    CORRECTION = "correction"


RESCALING = (Reason.SPLIT, Reason.DIVIDEND, Reason.UNIT)  # one ratio for all bars before a session


@dataclass(frozen=True, slots=True)
class Change:
    """How a symbol's bars were restated.

    `date`: of a rescaling the first session after the bars that it rescaled, of a correction its first session.
    `ratio`: new price over old, None if the session of a correction came or went. `bars`: how many differ by it.
    `matters`: whether a model that was trained on the bars before should be trained again.
    """

    reason: Reason
    date: date
    ratio: float | None
    bars: int
    matters: bool = True


def continues(stored: pd.DataFrame, fetched: pd.DataFrame) -> bool:
    """Whether `fetched` repeats the bars of `stored`, so that what follows them continues the same adjustment.

    `fetched` is as the source sent it, before the quality gate. Volumes may differ, the newest bars may have settled, and
    sessions may have come that are not stored. Without an older bar that agrees nothing shows that the adjustment is the same.
    """
    if stored.empty or len(stored.index.difference(fetched.index)):
        return stored.empty
    sent = fetched[~fetched.index.duplicated()].loc[stored.index]
    moved = np.abs(_log_ratios(stored, _repaired(sent, stored))).max(axis=1)
    settled = max(1, len(moved) - SETTLING_BARS)
    return bool((moved[:settled] <= ROUNDING).all() and (moved[settled:] <= SETTLED_MOVE).all())


def changes(stored: pd.DataFrame, fetched: pd.DataFrame, *, exchange: str) -> list[Change]:
    """What turned the history `stored` into the whole history `fetched`, oldest first; nothing if the newest bars only settled.

    Bars before the first one of `fetched` do not count.
    """
    stored = stored[stored.index >= fetched.index[0]] if len(fetched) else stored[:0]
    shared = stored.index.intersection(fetched.index)
    if not len(shared):
        return []
    old, new = stored.loc[shared], fetched.loc[shared]
    ratios = _log_ratios(old, new)
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
    shared = stored.index.intersection(fetched.index)
    old, new = stored.loc[shared].to_numpy(), fetched.loc[shared].to_numpy()
    return pd.DatetimeIndex(shared[~np.isclose(new, old, rtol=ROUNDING, atol=0).all(axis=1)])


def _repaired(sent: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """The sent bars with the repairs that were made when they were stored, so that a repair does not look like a change."""
    prices = sent[list(PRICES)]
    known = prices.where((prices > 0) | (prices.columns == "close"), stored)
    return known.assign(high=known.max(axis="columns"), low=known.min(axis="columns"))


def _log_ratios(old: pd.DataFrame, new: pd.DataFrame) -> Array:
    """(bars, 4): the log of new price over old, the close's last; infinite if the new one is no price."""
    ratios = new[list(PRICES)].to_numpy() / old[list(PRICES)].to_numpy()
    logs: Array = np.log(ratios, out=np.full(ratios.shape, np.inf), where=ratios > 0)
    return logs


def _levels(ratio: Array, noise: float) -> Array:
    """(bars,): the log ratio of the adjustment that each bar belongs to; a few bars of another one belong to those after them.

    The newest bars need not be many: those of the last days are not adjusted yet when a dividend was paid.
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
    """The adjustments, oldest first. One also rescales all bars before those of its level: what differs is its own ratio."""
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
    """The usual new volume over the old one; 1 if nothing tells."""
    traded = (old["volume"] > 0) & (new["volume"] > 0)
    return float((new["volume"][traded] / old["volume"][traded]).median()) if traded.any() else 1.0


def _cause(ratio: float, volumes: float) -> Reason:
    """Why bars were rescaled by `ratio`, and their volumes by `volumes`."""
    if abs(volumes - 1) > VOLUME_MOVED:
        return Reason.SPLIT
    if min(abs(ratio / UNIT - 1), abs(ratio * UNIT - 1)) < ONE_UNIT:
        return Reason.UNIT
    return Reason.SPLIT if _looks_like_split(ratio) else Reason.DIVIDEND


def _looks_like_split(ratio: float) -> bool:
    smaller = min(ratio, 1 / ratio)
    return smaller <= 0.8 and abs(smaller / float(Fraction(smaller).limit_denominator(SPLIT_TERM) or 1) - 1) < ONE_RATIO


def _came_or_went(stored: pd.DataFrame, fetched: pd.DataFrame, exchange: str) -> list[pd.Timestamp]:
    """Sessions within the stored ones that only one of the two has. A bar that is new on a day without a session counts for
    nothing: it may have been dropped when the others were stored. So may a late one among the newest."""
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
    """Of how many bars the return or the range, which is what models learn from, is noticeably another one."""
    moved = np.zeros(len(old) - 1, dtype=bool)
    for before, after in zip(_returns_and_ranges(old), _returns_and_ranges(new), strict=True):
        usual = np.median(np.abs(before)[before != 0]) if before.any() else 0.0
        moved |= np.abs(after - before) > max(NOTICEABLE * usual, ROUNDING)
    return int(moved.sum())


def _returns_and_ranges(bars: pd.DataFrame) -> tuple[Array, Array]:
    return np.diff(np.log(bars["close"].to_numpy())), np.log(bars["high"].to_numpy() / bars["low"].to_numpy())[1:]


def _largest_move(old: pd.Series, new: pd.Series) -> float:
    """Of one bar's prices: the ratio that is farthest from 1."""
    ratios = (new[list(PRICES)] / old[list(PRICES)]).to_numpy(dtype=float)
    return float(ratios[np.abs(np.log(ratios)).argmax()])
