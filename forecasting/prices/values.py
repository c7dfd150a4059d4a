"""Quality gate: checks of single bars, for invalid numbers, a range without open or close, and a price far from the others."""

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from forecasting.prices.bars import FLOAT_NOISE
from forecasting.prices.calendars import closed_days
from forecasting.prices.draft import USUAL_BARS, Array, Draft, Mask, Rows, activity, usual_before
from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.price_digits import written

# A range that excludes open or close is widened if the distance is small: WIDENED_RANGES times the usual range, but at least
# ALWAYS_WIDENED and at most MOST_WIDENED of the price. Feeds without auctions in the day's range miss by up to 0.5 % in calm
# shares. In small London shares, whose usual range is about 2 %, they miss by 4 to 5 %.
ALWAYS_WIDENED, WIDENED_RANGES, MOST_WIDENED = 0.005, 3.0, 0.05
# Limits of a plausible wick or leap: in usual ranges, in multiples of the largest range before it, and as a log distance.
# A wick is a high or low beyond open and close. A leap is an open away from both the previous and its own close.
# The flash crashes of 2010 and 2015 had wicks of 11 to 76 usual ranges, on more than twice the usual volume. No leap of a
# share that trades every day was that large.
WICK, WICK_OUTDOES, LEAP, LEAP_OUTDOES, LEAST = 10.0, 3.0, 8.0, 2.0, 0.02
CALM_BARS = 20  # bars before a bar, for the largest range
# Multiples of the usual activity that make a wick plausible: BUSY below the log distance HALFWAY, else VERY_BUSY.
BUSY, VERY_BUSY, HALFWAY = 2.0, 5.0, 0.5
UNBELIEVABLE = 1.0  # log distance that is implausible at any volume; crashes within a session reached 0.7


def judge_dates(draft: Draft) -> None:
    """Leaves out different bars of the same date; of equal ones the first stays."""
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
        np.flatnonzero(differ), Rule.DUPLICATE, lambda first, _: f"{draft.day(first)} has several different bars; none is used"
    )


def judge_values(draft: Draft) -> None:
    """Leaves out bars without a valid close, high or low; fills in opens, volumes and bars that have only a close."""
    good = {name: _positive(getattr(draft, name)) for name in ("open", "high", "low", "close")}
    alone = good["close"] & ~good["open"] & ~good["high"] & ~good["low"]
    for name in ("high", "low", "open"):
        getattr(draft, name)[alone] = draft.close[alone]
    _repair(draft, alone, Rule.PRICE, "only a close on {}; it was used for the whole bar")
    for name in ("close", "high", "low"):
        bad = draft.kept & ~good[name] & ~alone
        values = getattr(draft, name)
        draft.leave_out(np.flatnonzero(bad), Rule.PRICE, partial(_no_price, draft, name), values=values)
    _fill_opens(draft, draft.kept & ~good["open"] & ~alone)
    counted = np.isfinite(draft.volume) & (draft.volume >= 0)
    draft.volume[~counted] = 0.0
    _repair(draft, draft.kept & ~counted, Rule.VOLUME, "the volume of {} is missing or negative and was set to 0")


def _no_price(draft: Draft, name: str, first: int, last: int) -> str:
    number = getattr(draft, name)[first]
    return f"{name} is {written(number)} on {draft.span(first, last)}, which is not a price; left out like a day without trading"


def _fill_opens(draft: Draft, missing: Mask) -> None:
    """Fills a missing open with the previous close, clipped to the bar's range. Old bars of many sources have no open."""
    rows = np.flatnonzero(missing)
    if not len(rows):
        return
    kept = np.flatnonzero(draft.kept)
    before = kept[np.maximum(np.searchsorted(kept, rows) - 1, 0)]
    low, high = np.minimum(draft.low, draft.close)[rows], np.maximum(draft.high, draft.close)[rows]
    draft.open[rows] = np.clip(draft.close[before], low, high)
    _repair(draft, missing, Rule.PRICE, "no open on {}; the previous close, limited to the bar's range, was used")


def drop_phantoms(draft: Draft, exchange: str) -> None:
    """Drops bars on closed days that repeat the last close without volume."""
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
            f"{draft.span(first, last)} was not a session; its bar repeats {written(draft.close[first])} without volume; dropped"
        ),
    )


def judge_ranges(draft: Draft) -> None:
    """Widens ranges that narrowly miss their open or close; leaves out bars with a price far from the bar's others."""
    top, bottom = np.maximum(draft.open, draft.close), np.minimum(draft.open, draft.close)
    with np.errstate(divide="ignore", invalid="ignore"):
        misses = np.where(draft.kept, np.fmax((top - draft.high) / top, (draft.low - bottom) / bottom), 0.0)
    draft.high, draft.low = np.maximum(draft.high, top), np.minimum(draft.low, bottom)
    if (misses > FLOAT_NOISE).any():  # float noise is not reported
        _judge_misses(draft, misses)
    _leave_out_far_prices(draft)


def _judge_misses(draft: Draft, misses: Array) -> None:
    """Leaves out the bars whose range missed open or close by too much; adds findings for the widened ones."""
    rows = np.flatnonzero(draft.kept)
    usual = usual_before(np.log(draft.high[rows] / draft.low[rows]))
    limit = np.clip(np.nan_to_num(WIDENED_RANGES * usual), ALWAYS_WIDENED, MOST_WIDENED)

    def text(first: int, last: int, became: str) -> str:
        return f"high or low of {draft.span(first, last)} missed the open or close by {100 * misses[first]:.2g} %; {became}"

    draft.leave_out(rows[misses[rows] > limit], Rule.RANGE, partial(text, became="left out"), values=misses)
    widened = np.flatnonzero(draft.kept & (misses > FLOAT_NOISE))
    draft.find(widened, Rule.RANGE, Verdict.REPAIRED, partial(text, became="it was widened"), values=misses)


def _leave_out_far_prices(draft: Draft) -> None:
    """Leaves out bars whose high, low or open is far from the prices around it, unless volume confirms it."""
    wrong = np.zeros(len(draft.days), dtype=bool)
    while len(found := _far_prices(draft)):  # repeat without them: a wrong range must not justify another
        wrong[found] = True
        draft.kept[found] = False

    def text(first: int, last: int) -> str:
        opened, high, low, close = (written(values[first]) for values in (draft.open, draft.high, draft.low, draft.close))
        prices = f"{opened}, {high}, {low} and {close}"
        return f"open, high, low and close of {draft.span(first, last)} are {prices}: one of them is wrong; left out"

    draft.leave_out(np.flatnonzero(wrong), Rule.UNIT, text)


def _far_prices(draft: Draft) -> Rows:
    """The rows of the kept bars whose high, low or open is implausible."""
    rows = np.flatnonzero(draft.kept)
    opened, high, low, close = (values[rows] for values in (draft.open, draft.high, draft.low, draft.close))
    reach = np.log(high / low)
    wick = np.log(np.maximum(high / np.maximum(opened, close), np.minimum(opened, close) / low))
    gap, back = np.log(opened / np.concatenate([close[:1], close[:-1]])), np.log(close / opened)
    leap = np.where(gap * back < 0, np.minimum(np.abs(gap), np.abs(back)), 0.0)  # only an open that the close reverses
    largest, far = _largest_before(reach), np.zeros(len(rows), dtype=bool)
    for size, usuals, outdoes, busy in ((wick, WICK, WICK_OUTDOES, BUSY), (leap, LEAP, LEAP_OUTDOES, VERY_BUSY)):
        for place in _outdoing(reach, size, usuals=usuals, least=outdoes * largest):
            recent = rows[max(0, place - USUAL_BARS) : place + 1]
            busyness = activity(draft.volume[recent], draft.close[recent], len(recent) - 1)
            believed = busyness >= (busy if size[place] < HALFWAY else VERY_BUSY)
            far[place] = far[place] or not believed or size[place] >= UNBELIEVABLE
    return rows[far]


def _outdoing(reach: Array, size: Array, *, usuals: float, least: Array) -> Rows:
    """The bars whose `size` is `usuals` times the usual reach, and as large as `least` or UNBELIEVABLE."""
    suspects = np.flatnonzero((size >= LEAST) & (size >= np.minimum(least, UNBELIEVABLE)))
    if not len(suspects):
        return suspects
    return suspects[size[suspects] >= usuals * np.nan_to_num(usual_before(reach)[suspects])]


def _largest_before(reach: Array) -> Array:
    """(bars,): the largest of the `CALM_BARS` values before each; infinite for the first bar, which cannot be compared."""
    padded = np.concatenate([np.full(CALM_BARS, -np.inf), reach[:-1]])
    largest: Array = sliding_window_view(padded, CALM_BARS).max(axis=1)
    largest[:1] = np.inf
    return largest


def _positive(values: Array) -> Mask:
    good: Mask = np.isfinite(values) & (values > 0)
    return good


def _repair(draft: Draft, mask: Mask, rule: Rule, text: str) -> None:
    draft.find(np.flatnonzero(mask), rule, Verdict.REPAIRED, lambda first, last: text.format(draft.span(first, last)))
