"""Quality gate: implausible jumps of the close, either excursions to a wrong level and back or steps by a wrong factor.

In the close alone, a crash and a wrong split factor look the same. A real move of that size comes with several times the usual
volume, and volatile sessions follow. A wrong factor appears overnight, in a session that is otherwise normal.

All sizes are relative to the preceding moves. The limits come from about 650 moves of more than 14 times the usual move, in
240 real histories. Real moves had at least 3.2 times the usual volume, wrong factors at most 2.2 times.
"""

from dataclasses import dataclass

import numpy as np

from forecasting.prices.draft import FEWEST, USUAL_BARS, Array, Break, Draft, Mask, Rows, activity, usual_before
from forecasting.prices.findings import Finding, Rule, Verdict
from forecasting.prices.price_digits import written

IMPOSSIBLE = np.log(20)  # log return; no session moves a price this far, except downwards in a bankruptcy on high volume
HUNDRED = (np.log(50), np.log(200))  # range of log returns that count as a factor of 100 or 1/100
MIN_SIZE, STEP_MIN_SIZE = 14.0, 10.0  # minimum size of an excursion and of a step, in multiples of the usual move before and after
LEAST = 0.01  # log return; smaller moves are never suspicious
STEP = np.log(1.24)  # smallest log return that counts as a wrong factor; 5:4 is the smallest common split
MIN_RATIO, STEP_MIN_RATIO = 3.0, 1.5  # minimum size of both, in multiples of the largest other move nearby
# Lower limits for clear excursions: of at least LARGE (log return) and at most SHORT bars.
LARGE, SHORT, LARGE_MIN_SIZE, LARGE_MIN_RATIO = 0.25, 3, 7.0, 1.5
EXCURSION_BARS = 20  # an excursion returns within this many bars, about a month
ESTABLISHED = 3  # the level before an excursion must have lasted this many times as long
RETURNED = 0.2  # share of an excursion by which the price may miss the previous level after its return
# A move is real if volume and turnover reach this multiple of the usual ones, times 1 + the log return. The lower limit applies
# if the session was also volatile from open to close, as on 19 October 1987.
HIGH_VOLUME, HIGH_VOLUME_IF_VOLATILE = 2.5, 1.5
# Limits of a calm session: its move from open to close and its range, in multiples of the usual ones, or as a share of the step.
CALM_MOVE, CALM_RANGE, CALM_SHARE = 4.0, 3.0, 1 / 6
GAP_DAYS = 10  # calendar days between two bars; across longer gaps any move is plausible
AFTER = 10  # bars after a move to compare it with; a step stays undecided until they exist


@dataclass(frozen=True, slots=True)
class _Series:
    """The kept bars of a draft, as arrays (bars,)."""

    rows: Rows  # in the draft
    price: Array  # log close
    size: Array  # |log return|; 0 for the first bar
    usual: Array  # median size of the moves before each bar
    suspects: Rows  # positions of large moves


def judge_jumps(draft: Draft) -> None:
    """Leaves out excursions, breaks the history at steps, and holds back the newest bars while a jump is undecided."""
    series = _series(draft)
    away = _excursions(draft, series)
    if away.any():

        def text(first: int, last: int) -> str:
            return f"{_from_to(draft, first)} and back after {draft.span(first, last)}, without more volume: left out"

        draft.leave_out(series.rows[away], Rule.SPIKE, text)
        series = _series(draft)
    _judge_steps(draft, series)


def _series(draft: Draft) -> _Series:
    rows = np.flatnonzero(draft.kept)
    price = np.log(draft.close[rows])
    size = np.abs(np.diff(price, prepend=price[:1]))
    usual = usual_before(size)
    days = draft.days.to_numpy()[rows].astype("datetime64[D]")
    overnight = np.diff(days, prepend=days[:1]) <= np.timedelta64(GAP_DAYS, "D")
    far = (overnight & (size >= np.fmax(LEAST, STEP_MIN_SIZE * usual))) | (size >= IMPOSSIBLE)
    return _Series(rows, price, size, usual, np.flatnonzero(far))


def _excursions(draft: Draft, series: _Series) -> Mask:
    """Mask of the bars at a wrong level from which the price returns within `EXCURSION_BARS`."""
    away = np.zeros(len(series.price), dtype=bool)
    for start in map(int, series.suspects):
        size = series.size[start]
        far = (MIN_SIZE if size < LARGE else STEP_MIN_SIZE) * series.usual[start]
        if away[start - 1] or size < min(far, IMPOSSIBLE):
            continue
        if end := _end_of_excursion(draft, series, start, away):
            away[start:end] = True
    return away


def _end_of_excursion(draft: Draft, series: _Series, start: int, away: Mask) -> int:
    """Position at which the price is back at the level before `start`; 0 if there is none, or if the move may be real."""
    level, leap = series.price[start - 1], series.price[start] - series.price[start - 1]
    distance = (series.price[start : start + EXCURSION_BARS + 1] - level) / leap
    back = np.flatnonzero(np.abs(distance) <= RETURNED)
    if not len(back) or (distance[: back[0]] < 0.5).any():  # a gradual return does not count
        return 0
    end = start + int(back[0])
    if start < ESTABLISHED * (end - start):  # either level may be the wrong one
        return 0
    if abs(leap) >= IMPOSSIBLE:
        return end
    inside = series.size[start + 1 : end]
    before = _moves_before(series, start, away)
    outdone = max(inside.max(initial=0.0), before.max(initial=0.0))
    is_clear = abs(leap) >= LARGE and end - start <= SHORT
    min_size, min_ratio = (LARGE_MIN_SIZE, LARGE_MIN_RATIO) if is_clear else (MIN_SIZE, MIN_RATIO)
    if abs(leap) < max(min_ratio * outdone, min_size * _median(series.size[end + 1 : end + 1 + AFTER])):
        return 0
    return 0 if _is_confirmed(draft, series, start) else end


def _judge_steps(draft: Draft, series: _Series) -> None:
    steps: list[int] = []
    for place in series.suspects:
        if _is_step(draft, series, int(place), steps):
            steps.append(int(place))
            if len(series.rows) - place <= AFTER:
                _hold_back(draft, series, int(place))
                return
            _break(draft, series, int(place))
    _hold_back_newest(draft, series)


def _is_step(draft: Draft, series: _Series, place: int, steps: list[int]) -> bool:
    """Whether the price reached its level at `place` by a wrong factor, judged by the bars around it."""
    size, change = series.size[place], series.price[place] - series.price[place - 1]
    if size >= IMPOSSIBLE:
        return not (change < 0 and _has_high_volume(draft, series, place))
    if size < STEP or _has_high_volume(draft, series, place) or not _is_calm(draft, series, place):
        return False
    others = np.zeros(len(series.size), dtype=bool)
    others[steps] = True
    before, after = _moves_before(series, place, others), series.size[place + 1 : place + 1 + AFTER]
    if size < STEP_MIN_RATIO * before.max(initial=0.0):
        return False
    return len(after) < FEWEST or size >= max(STEP_MIN_SIZE * _median(after), STEP_MIN_RATIO * after.max())


def _break(draft: Draft, series: _Series, place: int) -> None:
    """Breaks the history at a step if its volume is usual; without volume data the step is only noted."""
    row, size = int(series.rows[place]), series.size[place]
    rule = _rule(size)
    what = f"{_from_to(draft, row)}, {_times(series, place)}"
    if size < IMPOSSIBLE and np.isnan(_activity(draft, series, place)):
        text = f"{what} overnight; without volume this cannot be verified"
        draft.findings.append(Finding(Rule.STEP, Verdict.NOTED, draft.day(row), float(draft.close[row]), text))
        return
    why = "two units are mixed" if rule == Rule.UNIT else "a split or a wrong factor, not a move"
    how = "" if rule == Rule.UNIT else " overnight on usual volume"
    draft.breaks.append(Break(row, rule, f"{what}{how}: {why}", hard=True))


def _hold_back(draft: Draft, series: _Series, place: int) -> None:
    """Holds back the bars from `place` on until a later session or a correction shows which level is correct."""
    row, size = int(series.rows[place]), series.size[place]
    if size < IMPOSSIBLE and np.isnan(_activity(draft, series, place)):
        _hold_back_newest(draft, series)  # without volume a step cannot be detected, but the next bar can still reveal a spike
        return
    rule = _rule(size)
    why = "two units are mixed" if rule == Rule.UNIT else "a wrong price or a wrong factor"
    until = "bars from that date on are held back until later bars decide"
    text = f"{_from_to(draft, row)}, {_times(series, place)} on usual volume: {why}; {until}"
    draft.held_from = row
    draft.findings.append(Finding(rule, Verdict.REFUSED, draft.day(row), float(draft.close[row]), text))


def _hold_back_newest(draft: Draft, series: _Series) -> None:
    """Holds back the newest bar until the next one if its move is unusually large and volume does not confirm it."""
    last = len(series.rows) - 1
    if last not in series.suspects[-1:] or series.size[last] < MIN_SIZE * series.usual[last] or _is_confirmed(draft, series, last):
        return
    if series.size[last] < MIN_RATIO * _moves_before(series, last, np.zeros(len(series.rows), dtype=bool)).max(initial=0.0):
        return
    row = int(series.rows[last])
    text = f"{_from_to(draft, row)}, {_times(series, last)} without more volume; it waits for the next session to confirm it"
    draft.held_from = row
    draft.findings.append(Finding(Rule.SPIKE, Verdict.REFUSED, draft.day(row), float(draft.close[row]), text))


def _is_calm(draft: Draft, series: _Series, place: int) -> bool:
    """Whether the session's move from open to close and its range were usual."""
    rows = series.rows[max(0, place - USUAL_BARS) : place + 1]
    reach = np.log(draft.high[rows] / draft.low[rows])
    inside = abs(series.price[place] - np.log(draft.open[rows[-1]]))
    usual, share = series.usual[place], CALM_SHARE * series.size[place]
    usual_reach = max(np.median(reach[:-1]), usual)
    return bool(inside <= max(CALM_MOVE * usual, share) and reach[-1] <= max(CALM_RANGE * usual_reach, share))


def _moves_before(series: _Series, place: int, others: Mask) -> Array:
    """Sizes of the moves before `place`, without moves into and out of the bars of `others`."""
    first = max(1, place - USUAL_BARS)
    wrong = others | np.concatenate([[False], others[:-1]])
    sizes: Array = series.size[first:place][~wrong[first:place]]
    return sizes


def _median(sizes: Array) -> float:
    """Median of the sizes above zero; 0 if there are fewer than `FEWEST` bars."""
    moved = sizes[sizes > 0]
    return float(np.median(moved)) if len(sizes) >= FEWEST and len(moved) else 0.0


def _has_high_volume(draft: Draft, series: _Series, place: int) -> bool:
    """Whether volume confirms a move; a larger move needs more volume."""
    return bool(_activity(draft, series, place) >= HIGH_VOLUME * (1 + series.size[place]))


def _is_confirmed(draft: Draft, series: _Series, place: int) -> bool:
    """Whether volume confirms a move that may revert; less volume is enough if the session was not calm."""
    enough = HIGH_VOLUME if _is_calm(draft, series, place) else HIGH_VOLUME_IF_VOLATILE
    return bool(_activity(draft, series, place) >= enough * (1 + series.size[place]))


def _activity(draft: Draft, series: _Series, place: int) -> float:
    rows = series.rows[max(0, place - USUAL_BARS) : place + 1]
    return activity(draft.volume[rows], draft.close[rows], len(rows) - 1)


def _rule(size: float) -> Rule:
    return Rule.UNIT if HUNDRED[0] <= size <= HUNDRED[1] else Rule.STEP


def _times(series: _Series, place: int) -> str:
    change = series.price[place] - series.price[place - 1]
    if _rule(abs(change)) == Rule.UNIT:
        return "about a hundredth" if change < 0 else "about a hundred times"
    return f"{100 * np.expm1(change):+.3g} %" if abs(change) < np.log(10) else f"{np.exp(change):.3g} times that"


def _from_to(draft: Draft, row: int) -> str:
    before = int(np.flatnonzero(draft.kept[:row])[-1])
    close, previous = written(draft.close[row]), written(draft.close[before])
    return f"close is {close} on {draft.day(row)} after {previous} on {draft.day(before)}"
