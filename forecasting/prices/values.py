"""What a single bar shows of itself: impossible numbers, a range that misses open or close, a price far from its bar's others.

A part of the quality gate.
"""

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from forecasting.prices.bars import FLOAT_NOISE
from forecasting.prices.calendars import closed_days
from forecasting.prices.draft import USUAL_BARS, Array, Draft, Mask, Rows, activity, usual_before
from forecasting.prices.findings import Rule, Verdict

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
        misses = np.where(draft.kept, np.fmax((top - draft.high) / top, (draft.low - bottom) / bottom), 0.0)
    draft.high, draft.low = np.maximum(draft.high, top), np.minimum(draft.low, bottom)
    if (misses > FLOAT_NOISE).any():  # float noise is not worth a word
        _judge_misses(draft, misses)
    _leave_out_far_prices(draft)


def _judge_misses(draft: Draft, misses: Array) -> None:
    """Leaves out the bars whose range missed open or close by too much, and tells which others were widened."""
    rows = np.flatnonzero(draft.kept)
    usual = usual_before(np.log(draft.high[rows] / draft.low[rows]))
    limit = np.clip(np.nan_to_num(WIDENED_RANGES * usual), ALWAYS_WIDENED, MOST_WIDENED)

    def text(first: int, last: int, became: str) -> str:
        return f"high or low of {draft.span(first, last)} missed the open or close by {100 * misses[first]:.2g} %; {became}"

    draft.leave_out(rows[misses[rows] > limit], Rule.RANGE, partial(text, became="left out"), values=misses)
    widened = np.flatnonzero(draft.kept & (misses > FLOAT_NOISE))
    draft.find(widened, Rule.RANGE, Verdict.REPAIRED, partial(text, became="it was widened"), values=misses)


def _leave_out_far_prices(draft: Draft) -> None:
    """Leaves out bars whose high, low or open lies far from all else around, unless volume speaks for it."""
    wrong = np.zeros(len(draft.days), dtype=bool)
    while len(found := _far_prices(draft)):  # again without them: a wrong range excuses no other
        wrong[found] = True
        draft.kept[found] = False

    def text(first: int, last: int) -> str:
        prices = f"{draft.open[first]:g}, {draft.high[first]:g}, {draft.low[first]:g} and {draft.close[first]:g}"
        return f"open, high, low and close of {draft.span(first, last)} are {prices}: one of them is wrong; left out"

    draft.leave_out(np.flatnonzero(wrong), Rule.UNIT, text)


def _far_prices(draft: Draft) -> Rows:
    """The rows of the kept bars whose high, low or open is not believed."""
    rows = np.flatnonzero(draft.kept)
    opened, high, low, close = (values[rows] for values in (draft.open, draft.high, draft.low, draft.close))
    reach = np.log(high / low)
    wick = np.log(np.maximum(high / np.maximum(opened, close), np.minimum(opened, close) / low))
    gap, back = np.log(opened / np.concatenate([close[:1], close[:-1]])), np.log(close / opened)
    leap = np.where(gap * back < 0, np.minimum(np.abs(gap), np.abs(back)), 0.0)  # away and back again
    largest, far = _largest_before(reach), np.zeros(len(rows), dtype=bool)
    for size, usuals, outdoes, busy in ((wick, WICK, WICK_OUTDOES, BUSY), (leap, LEAP, LEAP_OUTDOES, VERY_BUSY)):
        for place in _outdoing(reach, size, usuals=usuals, least=outdoes * largest):
            recent = rows[max(0, place - USUAL_BARS) : place + 1]
            busyness = activity(draft.volume[recent], draft.close[recent], len(recent) - 1)
            believed = busyness >= (busy if size[place] < HALFWAY else VERY_BUSY)
            far[place] = far[place] or not believed or size[place] >= UNBELIEVABLE
    return rows[far]


def _outdoing(reach: Array, size: Array, *, usuals: float, least: Array) -> Rows:
    """The bars whose `size` is so many times the usual reach, and as large as `least` or unbelievable."""
    suspects = np.flatnonzero((size >= LEAST) & (size >= np.minimum(least, UNBELIEVABLE)))
    if not len(suspects):
        return suspects
    return suspects[size[suspects] >= usuals * np.nan_to_num(usual_before(reach)[suspects])]


def _largest_before(reach: Array) -> Array:
    """(bars,): the largest of the `CALM_BARS` values before each; infinite before the first one, which nothing is compared with."""
    padded = np.concatenate([np.full(CALM_BARS, -np.inf), reach[:-1]])
    largest: Array = sliding_window_view(padded, CALM_BARS).max(axis=1)
    largest[:1] = np.inf
    return largest


def _positive(values: Array) -> Mask:
    good: Mask = np.isfinite(values) & (values > 0)
    return good


def _repair(draft: Draft, mask: Mask, rule: Rule, text: str) -> None:
    draft.find(np.flatnonzero(mask), rule, Verdict.REPAIRED, lambda first, last: text.format(draft.span(first, last)))
