"""The quality gate: checks prices before they are stored, and stored bars before a training.

- An error with a certain correction is repaired.
- A bar that cannot be repaired is left out, like a day without trading.
- After a stretch that cannot be repaired, the history restarts if enough bars follow.
- Undecided newest bars wait for later sessions.
- If too few bars remain, all are refused.

Each case is reported as a finding with date and value. A verdict depends on at most `CONTEXT` bars before a bar and a few after
it, so new bars can be checked with that context. Only a source's whole history shows how many bars were left out, because
they are not stored.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.prices.bars import BadBarsError, shaped
from forecasting.prices.calendars import closed_days, sessions
from forecasting.prices.draft import Break, Draft
from forecasting.prices.findings import Finding, Rule, Verdict, listed, reason
from forecasting.prices.jumps import judge_jumps
from forecasting.prices.stillness import judge_gaps, judge_stillness
from forecasting.prices.values import drop_phantoms, judge_dates, judge_ranges, judge_values

ENOUGH = 496  # bars that must follow a break, because a training needs so many (config.minimum_bars)
CONTEXT = 600  # bars before new ones: a year for stillness and trades, a quarter for usual values, a reserve for bars left out
# More than MANY bars left out among MANY_AMONG: a soft break. More than TOO_MANY: a hard one.
MANY, MANY_AMONG, TOO_MANY = 6, 60, 20
OFF_SESSION = (3, 0.10)  # bars on closed days, and their share, from which the dates are wrong; dates shifted by a day give 20 %
OLD = 5  # sessions without a bar since the last one, above which bars are noted as old


@dataclass(frozen=True, slots=True)
class Checked:
    """Bars that passed the gate, and the findings. `held`: why the newest bars wait; "" if none waits."""

    bars: pd.DataFrame
    findings: list[Finding]
    held: str = ""


def check_bars(frame: pd.DataFrame, *, symbol: str, exchange: str, last_session: date | None = None, needed: int = 0) -> Checked:
    """The usable bars of `frame`, repaired and ordered. `frame` has the contract's columns and index type.

    `last_session` (the last completed one) and `needed` (bars that a training needs) serve only to note old or few bars.
    Raises BadBarsError with every finding if too few bars are usable. A history of 13 years takes a few milliseconds.
    """
    if (given := shaped(frame, symbol=symbol)).empty:
        return Checked(given, _extent_findings(given, exchange, last_session, needed))
    draft = Draft.of(given)
    judge_dates(draft)
    judge_values(draft)
    drop_phantoms(draft, exchange)
    judge_ranges(draft)
    judge_jumps(draft)
    judge_stillness(draft)
    _judge_density(draft)
    judge_gaps(draft, exchange)
    begin, end = _usable(draft, symbol)
    bars = draft.frame(begin, end)
    _require_most(bars, draft, symbol)
    found = [each for each in draft.findings if each.date is None or begin == 0 or each.date >= bars.index[0].date()]
    held = next((each.text for each in found if each.verdict == Verdict.REFUSED), "")
    found += [*_session_findings(bars, exchange, symbol), *_extent_findings(bars, exchange, last_session, needed)]
    return Checked(bars, found, held)


def _judge_density(draft: Draft) -> None:
    """Breaks the history after stretches in which many bars had to be left out."""
    counts = np.convolve(draft.wrong, np.ones(MANY_AMONG))[: len(draft.wrong)]  # in the window that ends at each bar
    many = np.flatnonzero(counts > MANY)
    if not len(many):
        return
    wrong = np.flatnonzero(draft.wrong)
    last = int(wrong[np.searchsorted(wrong, many[-1], side="right") - 1])
    example = [
        each.text for each in draft.findings if each.verdict == Verdict.LEFT_OUT and each.date and each.date <= draft.day(last)
    ]
    why = f"{counts[many].max():.0f} of {MANY_AMONG} bars up to {draft.day(last)} are wrong, for instance: {example[-1]}"
    draft.breaks.append(Break(last + 1, Rule.PRICE, why, hard=bool(counts.max() > TOO_MANY)))


def _usable(draft: Draft, symbol: str) -> tuple[int, int]:
    """First row and end (excluded) of the usable stretch; adds a finding about the bars before it.

    The stretch begins at the last break that enough bars follow. If too few follow, a hard break refuses all bars and a
    soft break is ignored.
    """
    end = len(draft.kept) if draft.held_from is None else draft.held_from
    follow = np.concatenate([np.cumsum(draft.kept[:end][::-1])[::-1], [0] * (len(draft.kept) + 1 - end)])
    breaks = sorted((each for each in draft.breaks if each.row <= end), key=lambda each: (each.row, each.hard))
    for each in reversed(breaks):
        if follow[each.row] >= ENOUGH:
            _tell_beginning(draft, each)
            return each.row, end
        if each.hard:
            raise _refusal(draft, symbol, each, int(follow[each.row]))
    return 0, end


def _tell_beginning(draft: Draft, last_break: Break) -> None:
    row = int(np.flatnonzero(draft.kept[last_break.row :])[0]) + last_break.row
    text = f"the history begins on {draft.day(row)}: {last_break.why}; the {row:,} bars before were left out"
    draft.findings.append(Finding(last_break.rule, Verdict.LEFT_OUT, draft.day(row), float(row), text))


def _refusal(draft: Draft, symbol: str, last_break: Break, follow: int) -> BadBarsError:
    """The error for a history without enough bars after a hard break, with its remedy."""
    remedy = f"this ends when the price source corrects it, or after {ENOUGH - follow:,} more sessions"
    text = f"{last_break.why}; only {follow:,} good bars follow and a training needs {ENOUGH}; {remedy}"
    day = draft.day(min(last_break.row, len(draft.days) - 1))
    found = (Finding(last_break.rule, Verdict.REFUSED, day, float(follow), text), *draft.findings)
    return BadBarsError(symbol, reason(found), found)


def _require_most(bars: pd.DataFrame, draft: Draft, symbol: str) -> None:
    """Refuses all bars if more than half were left out and the rest is too short for a training."""
    out = int((~draft.kept).sum())
    if len(bars) < ENOUGH and out > len(draft.kept) / 2:
        worst = next(each for each in draft.findings if each.verdict in (Verdict.LEFT_OUT, Verdict.REPAIRED))
        text = f"{out:,} of {len(draft.kept):,} bars cannot be used, for instance: {worst.text}"
        found = (Finding(worst.rule, Verdict.REFUSED, worst.date, float(out), text), *draft.findings)
        raise BadBarsError(symbol, reason(found), found)


def _session_findings(bars: pd.DataFrame, exchange: str, symbol: str) -> list[Finding]:
    """Findings of bars on closed days. A few are special sessions missing in the calendar; many mean wrong dates.

    Raises BadBarsError for many.
    """
    days = pd.DatetimeIndex(bars.index)
    rows = np.flatnonzero(closed_days(exchange, days))
    fewest, share = OFF_SESSION
    if len(rows) >= fewest and len(rows) > share * len(bars):
        which = f"{len(rows)} of {len(bars)} bars, the first of {days[rows[0]].date()},"
        text = f"{which} are of days on which {exchange} was closed; correct the dates or the symbol's suffix"
        found = (Finding(Rule.SESSION, Verdict.REFUSED, days[rows[0]].date(), float(len(rows)), text),)
        raise BadBarsError(symbol, text, found)

    def noted(row: int) -> Finding:
        text = f"{days[row].date()} is not a session in the calendar of {exchange}"
        return Finding(Rule.SESSION, Verdict.NOTED, days[row].date(), float(bars["close"].iloc[row]), text)

    return listed(rows.tolist(), noted)


def _extent_findings(bars: pd.DataFrame, exchange: str, last_session: date | None, needed: int) -> list[Finding]:
    """Notes too few or too old bars. Both are valid: forecasts state their age, and a training refuses too few bars."""
    found = []
    if len(bars) < needed:
        text = f"there are {len(bars)} bars; a training needs {needed}"
        found.append(Finding(Rule.FEW, Verdict.NOTED, None, float(len(bars)), text))
    if last_session is None or bars.empty or (last := bars.index[-1].date()) >= last_session:
        return found
    behind = len(sessions(exchange, first=last, last=last_session)) - 1
    if behind > OLD:
        text = f"the last bar is of {last}, {behind:,} sessions before {last_session}"
        found.append(Finding(Rule.OLD, Verdict.NOTED, None, float(behind), text))
    return found
