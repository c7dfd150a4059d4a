"""What a single bar shows of itself: impossible numbers, a range that misses open or close, a price far from its bar's others.

A part of the quality gate.
"""

from functools import partial

import numpy as np

from forecasting.pipeline.bars import FLOAT_NOISE
from forecasting.pipeline.calendars import closed_days
from forecasting.pipeline.draft import USUAL_BARS, Array, Draft, Mask, Rows, activity, usual_before
from forecasting.pipeline.findings import Rule, Verdict

# By how much a high or low may miss the open or close and is widened to contain it. Feeds that leave the auctions out of the
# day's range miss by up to 0.5 % in calm shares, and by 4 to 5 % in London's small ones, whose usual range is about 2 %.
ALWAYS_WIDENED, WIDENED_RANGES, MOST_WIDENED = 0.005, 3.0, 0.05  # share of the price; times the usual range; share of the price
# From how far on a price is not believed: times the usual range, times the largest range of the bars before it, and log distance.
# A wick is a high or low beyond open and close, a leap an open away from both closes beside it. The flash crashes of 2010 and
# 2015 had wicks of 11 to 76 usual ranges, on more than twice the usual volume; no leap of a share that trades every day did.
WICK, WICK_OUTDOES, LEAP, LEAP_OUTDOES, LEAST = 10.0, 3.0, 8.0, 2.0, 0.02
CALM_BARS = 20  # before a bar, whose largest range is compared with
BUSY, VERY_BUSY, HALFWAY = 2.0, 5.0, 0.5  # times the usual volume, from which on a wick is believed, and one beyond that distance
UNBELIEVABLE = 1.0  # log distance that is not believed on any volume; crashes within a session reached 0.7


def judge_dates(draft: Draft) -> None:
    """Leaves out bars of one date that differ from each other; of equal ones the first stays."""
    repeated = draft.days.duplicated(keep=False)
    if not repeated.any():
        return
    columns = np.column_stack([draft.open, draft.high, draft.low, draft.close, draft.volume])
    differ = np.zeros(len(columns), dtype=bool)
    for day in draft.days[repeated].unique():
        rows = np.flatnonzero(draft.days == day)
        differ[rows] = not (columns[rows] == columns[rows[0]]).all()
    draft.kept &= ~draft.days.duplicated()
    draft.leave_out(
        np.flatnonzero(differ), Rule.DUPLICATE, lambda first, _: f"there are different bars of {draft.day(first)}; none is used"
    )


def judge_values(draft: Draft) -> None:
    """Leaves out bars without a close, high or low; fills in what is certain."""
    good = {name: _positive(getattr(draft, name)) for name in ("open", "high", "low", "close")}
    alone = good["close"] & ~good["open"] & ~good["high"] & ~good["low"]
    for name in ("high", "low", "open"):
        getattr(draft, name)[alone] = draft.close[alone]
    _repair(draft, alone, Rule.PRICE, "only a close is given of {}; it stands for the whole bar")
    for name in ("close", "high", "low"):
        bad = draft.kept & ~good[name] & ~alone
        values = getattr(draft, name)
        draft.leave_out(np.flatnonzero(bad), Rule.PRICE, partial(_no_price, draft, name), values=values)
    _fill_opens(draft, draft.kept & ~good["open"] & ~alone)
    counted = np.isfinite(draft.volume) & (draft.volume >= 0)
    draft.volume[~counted] = 0.0
    _repair(draft, draft.kept & ~counted, Rule.VOLUME, "the volume of {} is missing or negative and was taken for 0")


def _no_price(draft: Draft, name: str, first: int, last: int) -> str:
    number = getattr(draft, name)[first]
    return f"{name} is {number:g} on {draft.span(first, last)}, which is no price; left out like a day without trading"


def _fill_opens(draft: Draft, missing: Mask) -> None:
    """Takes the close before for a missing open, or what of the bar's range is nearest: sources have none of long ago."""
    rows = np.flatnonzero(missing)
    if not len(rows):
        return
    kept = np.flatnonzero(draft.kept)
    before = kept[np.maximum(np.searchsorted(kept, rows) - 1, 0)]
    low, high = np.minimum(draft.low, draft.close)[rows], np.maximum(draft.high, draft.close)[rows]
    draft.open[rows] = np.clip(draft.close[before], low, high)
    _repair(draft, missing, Rule.PRICE, "there is no open of {}; the close before it, within the bar's range, was taken")


def drop_phantoms(draft: Draft, exchange: str) -> None:
    """Drops bars of days on which the exchange was closed that repeat the last close without volume."""
    candidates = np.flatnonzero(draft.kept & (draft.volume == 0))
    closed = candidates[closed_days(exchange, draft.days[candidates])] if len(candidates) else candidates
    if not len(closed):
        return
    open_days = draft.kept & ~closed_days(exchange, draft.days)
    sessions = np.flatnonzero(open_days)
    place = np.searchsorted(sessions, closed) - 1
    last = draft.close[sessions[np.maximum(place, 0)]] if len(sessions) else draft.close[closed]
    phantom = closed[(place >= 0) & (np.abs(draft.close[closed] - last) <= FLOAT_NOISE * last)]
    draft.kept[phantom] = False
    draft.find(
        phantom,
        Rule.PHANTOM,
        Verdict.REPAIRED,
        lambda first, last: (
            f"{draft.span(first, last)} was no session; its bar, {draft.close[first]:g} again without volume, was dropped"
        ),
    )


def judge_ranges(draft: Draft) -> None:
    """Widens ranges that miss their open or close by little; leaves out bars with a price far from the bar's others."""
    top, bottom = np.maximum(draft.open, draft.close), np.minimum(draft.open, draft.close)
    with np.errstate(divide="ignore", invalid="ignore"):
        misses = np.fmax((top - draft.high) / top, (draft.low - bottom) / bottom)
    rows = np.flatnonzero(draft.kept)
    reach = np.zeros(len(draft.days))
    reach[rows] = np.log(np.maximum(draft.high, top)[rows] / np.minimum(draft.low, bottom)[rows])
    usual = np.full(len(draft.days), np.nan)
    usual[rows] = usual_before(reach[rows])
    limit = np.clip(np.nan_to_num(WIDENED_RANGES * usual), ALWAYS_WIDENED, MOST_WIDENED)
    missed = draft.kept & (misses > limit)
    draft.leave_out(
        np.flatnonzero(missed),
        Rule.RANGE,
        lambda first, last: (
            f"high or low of {draft.span(first, last)} misses the open or close by {100 * misses[first]:.2g} %; left out"
        ),
        values=misses,
    )
    widened = draft.kept & (misses > FLOAT_NOISE)  # float noise is not worth a word
    draft.find(
        np.flatnonzero(widened),
        Rule.RANGE,
        Verdict.REPAIRED,
        lambda first, last: (
            f"high or low of {draft.span(first, last)} missed the open or close by {100 * misses[first]:.2g} % and was widened"
        ),
        values=misses,
    )
    draft.high[rows], draft.low[rows] = np.maximum(draft.high, top)[rows], np.minimum(draft.low, bottom)[rows]
    _leave_out_far_prices(draft, usual)


def _leave_out_far_prices(draft: Draft, usual: Array) -> None:
    """Leaves out bars whose high, low or open lies far from all else around, unless volume speaks for it."""
    rows = np.flatnonzero(draft.kept)
    opened, high, low, close = (values[rows] for values in (draft.open, draft.high, draft.low, draft.close))
    before = np.concatenate([close[:1], close[:-1]])
    wick = np.log(np.maximum(high / np.maximum(opened, close), np.minimum(opened, close) / low))
    gap, back = np.log(opened / before), np.log(close / opened)
    leap = np.where(gap * back < 0, np.minimum(np.abs(gap), np.abs(back)), 0.0)  # away and back again
    reach, floor = np.log(high / low), np.nan_to_num(usual[rows])
    wicks = np.flatnonzero(wick >= np.fmax(LEAST, WICK * floor))
    leaps = np.flatnonzero(leap >= np.fmax(LEAST, LEAP * floor))
    busy = np.where(wick < HALFWAY, BUSY, VERY_BUSY)
    wrong = {int(row) for row in wicks if _is_wrong(draft, rows, reach, int(row), wick[row] / WICK_OUTDOES, busy[row])}
    wrong |= {int(row) for row in leaps if _is_wrong(draft, rows, reach, int(row), leap[row] / LEAP_OUTDOES, VERY_BUSY)}
    wrong |= {int(row) for row in wicks if wick[row] >= UNBELIEVABLE} | {int(row) for row in leaps if leap[row] >= UNBELIEVABLE}

    def text(first: int, last: int) -> str:
        prices = f"{draft.open[first]:g}, {draft.high[first]:g}, {draft.low[first]:g} and {draft.close[first]:g}"
        return f"open, high, low and close of {draft.span(first, last)} are {prices}: one of them is wrong; left out"

    draft.leave_out(rows[sorted(wrong)], Rule.UNIT, text)


def _is_wrong(draft: Draft, rows: Rows, reach: Array, place: int, outdone: float, busy: float) -> bool:
    """Whether no bar before a place among the kept rows reached as far as `outdone`, and nobody traded `busy` times as much."""
    if not place or outdone < reach[max(0, place - CALM_BARS) : place].max():
        return False
    recent = rows[max(0, place - USUAL_BARS) : place + 1]
    return not activity(draft.volume[recent], draft.close[recent], len(recent) - 1) >= busy


def _positive(values: Array) -> Mask:
    good: Mask = np.isfinite(values) & (values > 0)
    return good


def _repair(draft: Draft, mask: Mask, rule: Rule, text: str) -> None:
    draft.find(np.flatnonzero(mask), rule, Verdict.REPAIRED, lambda first, last: text.format(draft.span(first, last)))
