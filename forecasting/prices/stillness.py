"""Quality gate: unchanged prices, missing volume and sessions without bars.

Long runs of zero returns bias training, and drive the volatility that scales the targets to zero.
"""

import numpy as np

from forecasting.prices.calendars import sessions
from forecasting.prices.draft import Array, Break, Draft, Mask, Rows, prices_of, runs_of
from forecasting.prices.findings import Rule, Verdict
from forecasting.prices.price_digits import written

STILL = 5  # consecutive bars with all four prices unchanged: noted; left out if their volume is unchanged as well
FROZEN = 20  # minimum number of such bars for a suspension, about a month; more if the share's close often does not move
CHANCE = 0.01  # a run is a suspension if its probability within a year, given how often the close does not move, is lower
YEAR = 250  # sessions
UNTRADED = 0.95  # share of a year's sessions without volume, from which prices do not come from trades
QUOTED = 0.5  # share of a year's sessions with a changed close, from which such prices are quotes (funds, indices, currencies)
NOTED_GAP, BROKEN_GAP = 5, 250  # consecutive sessions without a bar; after a year the symbol may belong to another company
# Weekly or monthly bars: at least SPARSE_SHARE of SPARSE_BARS bars are at least SPARSE sessions apart.
SPARSE, SPARSE_BARS, SPARSE_SHARE = 4, 20, 0.8


def judge_stillness(draft: Draft) -> None:
    """Leaves out suspensions and repeated bars; breaks the history after years without trades."""
    _judge_stale_runs(draft)
    _judge_untraded_years(draft)


def judge_gaps(draft: Draft, exchange: str) -> None:
    """Breaks the history after a year without bars and after bars that are not daily; notes shorter gaps."""
    rows = np.flatnonzero(draft.kept)
    if len(rows) < 2:
        return
    days = draft.days.to_numpy()[rows]
    expected = sessions(exchange, first=draft.day(int(rows[0])), last=draft.day(int(rows[-1]))).to_numpy()
    missing = np.searchsorted(expected, days[1:], side="left") - np.searchsorted(expected, days[:-1], side="right")
    for place in np.flatnonzero(missing >= BROKEN_GAP):
        why = f"{missing[place]:,} sessions between {draft.day(rows[place])} and {draft.day(rows[place + 1])} have no bar"
        draft.breaks.append(Break(int(rows[place + 1]), Rule.GAP, why, hard=True))
    _judge_sparseness(draft, rows, (missing + 1).astype(np.float64))
    after = rows[1:]
    sizes = np.zeros(len(draft.days))
    sizes[after] = missing

    def text(first: int, _: int) -> str:
        return f"{sizes[first]:.0f} sessions before {draft.day(first)} have no bar"

    noted = after[(missing >= NOTED_GAP) & (missing < BROKEN_GAP)]
    draft.find(noted, Rule.GAP, Verdict.NOTED, text, values=sizes)


def _judge_stale_runs(draft: Draft) -> None:
    rows = np.flatnonzero(draft.kept)
    if len(rows) < 2:
        return
    prices, volume = prices_of(draft)[rows], draft.volume[rows]
    same = np.concatenate([[False], (prices[1:] == prices[:-1]).all(axis=1)])
    unmoved = np.concatenate([[False], prices[1:, -1] == prices[:-1, -1]])
    copied = same & (volume > 0) & np.concatenate([[False], volume[1:] == volume[:-1]])
    for first, last in zip(*_long(same), strict=True):
        count, run = last - first + 1, rows[first : last + 1]
        repeats = bool(copied[first : last + 1].all())
        what = "prices and volume" if repeats else "prices"
        text = f"{count} bars from {draft.day(run[0])} to {draft.day(run[-1])} repeat the {what}"
        close = f"before, close {written(draft.close[run[0]])}"
        if count >= _longest_by_chance(unmoved, int(first)):
            why = f"{text} {close}: the share was suspended"
            draft.kept[run] = False
            draft.find(run, Rule.STALE, Verdict.LEFT_OUT, lambda *_, why=why: f"{why}; left out")
            draft.breaks.append(Break(int(run[-1]) + 1, Rule.STALE, why, hard=False))
        elif repeats:
            draft.leave_out(run, Rule.STALE, lambda *_, why=f"{text} {close}": f"{why}; left out")
        else:
            draft.find(run[:1], Rule.STALE, Verdict.NOTED, lambda *_, why=f"{text} {close}": why)


def _long(same: Mask) -> tuple[Rows, Rows]:
    first, last = runs_of(same)
    long = last - first + 1 >= STILL
    return first[long], last[long]


def _longest_by_chance(unmoved: Mask, first: int) -> float:
    """Longest plausible run of unchanged bars, given how often the close did not move in the year before, or in the first year."""
    around = unmoved[first - YEAR : first] if first >= YEAR else unmoved[:YEAR]
    share = min(max(around.mean(), 1 / YEAR), 1 - 1 / YEAR)
    return max(FROZEN, float(np.log(CHANCE / YEAR) / np.log(share)))


def _judge_untraded_years(draft: Draft) -> None:
    """Breaks the history after years without volume whose closes hardly move; notes those that move, as quotes do."""
    rows = np.flatnonzero(draft.kept)
    if len(rows) < YEAR:
        return
    untraded = _yearly(draft.volume[rows] == 0)
    moved = _yearly(np.concatenate([[False], np.diff(draft.close[rows]) != 0]))
    years = untraded >= UNTRADED * YEAR
    quoted = years & (moved >= QUOTED * YEAR)
    if (dead := years & ~quoted).any():
        end = int(np.flatnonzero(dead)[-1]) + YEAR
        span = f"{draft.day(rows[np.flatnonzero(dead)[0]])} to {draft.day(rows[end - 1])}"
        why = f"hardly any bar of {span} has volume and most closes do not change: these prices do not come from trades"
        after = int(rows[end]) if end < len(rows) else len(draft.days)
        draft.breaks.append(Break(after, Rule.NO_TRADES, why, hard=True))
    elif quoted.any():
        draft.find(
            rows[:1], Rule.NO_TRADES, Verdict.NOTED, lambda *_: "prices come without volume, as those of funds and indices do"
        )


def _yearly(mask: Mask) -> Array:
    """(bars - YEAR + 1,): number of true values in each window of a year."""
    total = np.concatenate([[0], np.cumsum(mask)])
    counts: Array = (total[YEAR:] - total[:-YEAR]).astype(float)
    return counts


def _judge_sparseness(draft: Draft, rows: Rows, spacing: Array) -> None:
    if len(spacing) < SPARSE_BARS:
        return
    total = np.concatenate([[0], np.cumsum(spacing >= SPARSE)])
    sparse = np.flatnonzero(total[SPARSE_BARS:] - total[:-SPARSE_BARS] >= SPARSE_SHARE * SPARSE_BARS)
    if len(sparse):
        end = int(sparse[-1]) + SPARSE_BARS
        why = f"the bars up to {draft.day(rows[end])} are {np.median(spacing[:end]):.0f} sessions apart: these are not daily bars"
        draft.breaks.append(Break(int(rows[end]), Rule.GAP, why, hard=True))
