"""The quality gate: what stands between a frame of prices and the database, and between stored bars and a training.

It judges bars, not symbols. What is certain is repaired; a bar that is wrong beyond repair is left out like a day without
trading; after a stretch beyond repair the history begins anew, if enough bars follow. Newest bars that may be right or wrong
wait until that is clear. Only if too little is left is everything refused. All of it is told, by date and value.

A verdict on a bar depends on at most `CONTEXT` bars before it and a few after it, so that bars which are added can be judged
with that context alone. Only whole histories show how many bars were left out: the stored ones no longer have them.

Own code: schema libraries judge a value or a row by itself; here a verdict needs the bars around it and may repair them.
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

ENOUGH = 496  # bars that must follow where the history cannot be continued: a training takes so many (config.minimum_bars)
CONTEXT = 600  # bars before new ones: a year for stillness and trades, a quarter for what is usual, and room for bars left out
MANY, MANY_AMONG, TOO_MANY = 6, 60, 20  # bars left out among so many: the stretch is beyond repair; no bar of it can be believed
OFF_SESSION = (3, 0.10)  # bars, and share of all, from which on the dates are wrong and not the calendar; shifted ones: 20 %
OLD = 5  # sessions without a bar since the last one


@dataclass(frozen=True, slots=True)
class Checked:
    """Bars that passed, and what was found. `held`: why the newest bars wait; empty if none does."""

    bars: pd.DataFrame
    findings: list[Finding]
    held: str = ""


def check_bars(frame: pd.DataFrame, *, symbol: str, exchange: str, last_session: date | None = None, needed: int = 0) -> Checked:
    """The usable bars of `frame`, which has the contract's columns and kind of index, repaired, in order.

    `last_session` is the last completed one and `needed` the bars that a training takes; both are only compared with.
    Raises BadBarsError with every finding if too little is usable. A whole history of 13 years takes some milliseconds.
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
    counts = np.convolve(draft.wrong, np.ones(MANY_AMONG))[: len(draft.wrong)]  # among the last bars up to each
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
    """First row, and the one after the last, of the stretch that is used; tells what lies before it.

    The stretch begins at the last break, if enough bars follow it. Over a soft break the history may go on if they do not.
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
    """Why nothing is used, and what would make it work."""
    remedy = f"it works again when the price source corrects that, or after {ENOUGH - follow:,} more sessions"
    text = f"{last_break.why}; only {follow:,} good bars follow and a training needs {ENOUGH}; {remedy}"
    day = draft.day(min(last_break.row, len(draft.days) - 1))
    found = (Finding(last_break.rule, Verdict.REFUSED, day, float(follow), text), *draft.findings)
    return BadBarsError(symbol, reason(found), found)


def _require_most(bars: pd.DataFrame, draft: Draft, symbol: str) -> None:
    """Refuses what is left of bars most of which had to be left out, if it is too little to train on."""
    out = int((~draft.kept).sum())
    if len(bars) < ENOUGH and out > len(draft.kept) / 2:
        worst = next(each for each in draft.findings if each.verdict in (Verdict.LEFT_OUT, Verdict.REPAIRED))
        text = f"{out:,} of {len(draft.kept):,} bars cannot be used, for instance: {worst.text}"
        found = (Finding(worst.rule, Verdict.REFUSED, worst.date, float(out), text), *draft.findings)
        raise BadBarsError(symbol, reason(found), found)


def _session_findings(bars: pd.DataFrame, exchange: str, symbol: str) -> list[Finding]:
    """Bars of days on which the exchange was closed. A few are special sessions that the calendar does not know."""
    days = pd.DatetimeIndex(bars.index)
    rows = np.flatnonzero(closed_days(exchange, days))
    fewest, share = OFF_SESSION
    if len(rows) >= fewest and len(rows) > share * len(bars):
        which = f"{len(rows)} of {len(bars)} bars, the first of {days[rows[0]].date()},"
        text = f"{which} are of days on which {exchange} was closed; correct the dates or the symbol's suffix"
        found = (Finding(Rule.SESSION, Verdict.REFUSED, days[rows[0]].date(), float(len(rows)), text),)
        raise BadBarsError(symbol, text, found)

    def noted(row: int) -> Finding:
        text = f"{days[row].date()} was no session of {exchange} as far as its calendar is known"
        return Finding(Rule.SESSION, Verdict.NOTED, days[row].date(), float(bars["close"].iloc[row]), text)

    return listed(rows, noted)


def _extent_findings(bars: pd.DataFrame, exchange: str, last_session: date | None, needed: int) -> list[Finding]:
    """Too few bars, too old ones. Both keep the contract: forecasts say how old they are, and a training refuses too few."""
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
