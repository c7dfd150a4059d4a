"""What a price source changed in bars that it had sent before, and why: a split, a dividend or a correction.

Sources adjust prices backwards: a split or a dividend multiplies every bar before its session by one ratio. A history must
therefore never be continued with bars of another adjustment; whoever stores bars compares first.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.bars import PRICES
from forecasting.pipeline.calendars import is_session

# Relative. Yahoo's prices carry 7 digits (noise of 1e-7, 1e-6 where adjusted); the smallest dividends that are paid, such as
# one cent on a share of 150, move prices by 7e-5.
ROUNDING = 1e-5
ONE_RATIO = 1e-3  # relative; sources that round prices to cents spread the ratio of one split this far
VOLUME_MOVED = 0.02  # a dividend leaves volumes alone, a split divides them
SPLIT_TERM = 10  # where volumes tell nothing, a ratio of whole numbers up to this, far enough from 1, is taken for a split
UNIT = 100.0  # pence in a pound


class Reason(StrEnum):
    """What changed the bars."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True)
class Change:
    """How a symbol's bars were restated.

    `date`: of a split or dividend the first session after the bars that it rescaled, of a correction its first session.
    `ratio`: new price over old, None where the session of a correction came or went. `bars`: how many differ.
    """

    reason: Reason
    date: date
    ratio: float | None
    bars: int

    @property
    def is_other_unit(self) -> bool:
        """Whether all that happened is that prices are in a unit 100 times as large or small."""
        return self.reason == Reason.CORRECTION and self.bars > 1 and self.ratio is not None and _is_unit(self.ratio)


def agree(stored: pd.DataFrame, fetched: pd.DataFrame, *, exchange: str) -> bool:
    """Whether `fetched` repeats the bars of `stored` within rounding, so that what follows them continues the same adjustment.

    Volumes may differ: those of recent sessions are still being counted.
    """
    return not _came_or_went(stored, fetched, exchange=exchange) and not _differs(*_shared(stored, fetched)).any()


def recounted(stored: pd.DataFrame, fetched: pd.DataFrame) -> pd.Series:
    """The volumes of `fetched` that are no longer those of `stored`, by session."""
    old, new = _shared(stored, fetched)
    moved = ~np.isclose(new["volume"], old["volume"], rtol=ROUNDING)
    volumes: pd.Series = new["volume"][moved]
    return volumes


def change(stored: pd.DataFrame, fetched: pd.DataFrame, *, exchange: str) -> Change | None:
    """What turned the whole history `stored` into `fetched`; None where the two agree."""
    old, new = _shared(stored, fetched)
    differs = _differs(old, new)
    moved = _came_or_went(stored, fetched, exchange=exchange)
    if not moved and not differs.any():
        return None
    if not moved and _is_rescaled(old, new, differs):
        reason, ratio = _cause(old[differs], new[differs])
        return Change(reason, _first_after(fetched, old.index[differs][-1]), ratio, int(differs.sum()))
    first = min([*old.index[differs], *moved])
    largest = None if first in moved else _largest_move(old.loc[first], new.loc[first])
    return Change(Reason.CORRECTION, first.date(), largest, int(differs.sum()) + len(moved))


def _shared(stored: pd.DataFrame, fetched: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The bars of the sessions that both have."""
    sessions = stored.index.intersection(fetched.index)
    return stored.loc[sessions], fetched.loc[sessions]


def _differs(old: pd.DataFrame, new: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """(sessions,): whether any price is another."""
    same = np.isclose(new[list(PRICES)].to_numpy(), old[list(PRICES)].to_numpy(), rtol=ROUNDING, atol=0)
    differs: npt.NDArray[np.bool_] = ~same.all(axis=1)
    return differs


def _came_or_went(stored: pd.DataFrame, fetched: pd.DataFrame, *, exchange: str) -> list[pd.Timestamp]:
    """Sessions within the stored ones that only one of the two has. A bar that is new on a day without a session counts for
    nothing: it may have been dropped when the others were stored."""
    within = fetched.index[(fetched.index >= stored.index[0]) & (fetched.index <= stored.index[-1])]
    came = [day for day in within.difference(stored.index) if is_session(exchange, day.date())]
    return [*stored.index.difference(fetched.index), *came]


def _is_rescaled(old: pd.DataFrame, new: pd.DataFrame, differs: npt.NDArray[np.bool_]) -> bool:
    """Whether every bar up to some session, and none after it, was multiplied by one ratio."""
    count = int(differs.sum())
    if not differs[:count].all() or (count == 1 and len(old) > 1):
        return False
    ratios = (new[list(PRICES)] / old[list(PRICES)]).to_numpy()[differs]
    return bool(np.allclose(ratios, np.median(ratios), rtol=ONE_RATIO, atol=0))


def _cause(old: pd.DataFrame, new: pd.DataFrame) -> tuple[Reason, float]:
    """Why these bars were rescaled, and the ratio of their prices."""
    ratio = float((new["close"] / old["close"]).median())
    traded = old["volume"] > 0
    volumes = float((new["volume"][traded] / old["volume"][traded]).median()) if traded.any() else 1.0
    if abs(volumes - 1) > VOLUME_MOVED or _looks_like_split(ratio):
        return Reason.SPLIT, ratio
    return (Reason.CORRECTION if ratio > 1 or _is_unit(ratio) else Reason.DIVIDEND), ratio


def _looks_like_split(ratio: float) -> bool:
    smaller = min(ratio, 1 / ratio)
    return smaller <= 0.8 and abs(smaller / float(Fraction(smaller).limit_denominator(SPLIT_TERM) or 1) - 1) < ONE_RATIO


def _is_unit(ratio: float) -> bool:
    return min(abs(ratio / UNIT - 1), abs(ratio * UNIT - 1)) < VOLUME_MOVED


def _largest_move(old: pd.Series, new: pd.Series) -> float:
    """Of one bar's prices: the ratio that is farthest from 1."""
    ratios = (new[list(PRICES)] / old[list(PRICES)]).to_numpy(dtype=float)
    return float(ratios[np.abs(np.log(ratios)).argmax()])


def _first_after(fetched: pd.DataFrame, session: pd.Timestamp) -> date:
    later = fetched.index[fetched.index > session]
    return (later[0] if len(later) else session).date()
