"""Jumps that no market makes: mixed units, steps of a wrong adjustment, spikes that revert. A part of the quality gate.

A crash and a wrong split factor look alike in the price alone. They differ in what is around them: a session that truly
halves a price trades many times the usual volume and is followed by restless ones; a wrong factor appears overnight, in a
session like any other. A jump is refused only where all of that speaks against it, and noted where volume cannot speak.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.findings import Finding, Rule, Verdict, listed

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

IMPOSSIBLE = np.log(20)  # of a log return, and of the distance between prices of one bar; no session moves a price so far
HUNDRED = (np.log(50), np.log(200))  # the log returns that are taken for a hundredth or a hundredfold
STEP = np.log(1.45)  # the smallest log return that is taken for a wrong factor; 3:2 is the smallest common split
SPIKE, REFUSED_SPIKE = 0.15, 0.30  # the smallest log return of a spike, and of one that is refused
SPIKE_SESSIONS = 3  # within which a spike is back
REVERTED = 0.2  # of a spike: as far as this it may miss the level before
CALM_MOVE, CALM_RANGE = 4.0, 3.0  # times what is usual: at most so far a step's own session goes from open to close, low to high
DWARFED, OUTDONE = 14.0, 5.0  # times the median and the largest absolute log return, before and after
USUAL_VOLUME_SESSIONS = 20
BEFORE, AFTER = 60, 10  # sessions that a jump is compared with
FEWEST = 5  # sessions that say what is usual
LIVELY = 0.8  # share of the sessions before that must have traded, for volume to be evidence
LOUD = 2.0  # times the usual volume and turnover, from which on the market is taken to have moved the price


@dataclass(frozen=True, slots=True)
class _Moves:
    """One value a bar; the first bar has no move."""

    size: Array  # |log return|
    change: Array  # log return
    calm: Mask  # whether the session itself went as usual from its open on
    dwarfs_before: Mask
    dwarfs_after: Mask  # also true where too few sessions follow to tell
    has_volume: Mask  # whether volume is evidence
    loud: Mask  # whether volume speaks for the move


def jump_findings(bars: pd.DataFrame) -> list[Finding]:
    """The jumps in bars that keep the contract."""
    if len(bars) < 2:
        return _unit_mixes(bars)
    moves = _moves(bars)
    impossible = (moves.size >= IMPOSSIBLE) & ~(moves.loud & (moves.change < 0))  # a bankruptcy trades
    spikes = _spikes(bars, moves) & ~impossible
    edges = spikes | _just_after(spikes)
    return [
        *_unit_mixes(bars),
        *_impossible(bars, moves, impossible),
        *_spike_findings(bars, moves, spikes),
        *_step_findings(bars, moves, ~impossible & ~edges),
    ]


def _moves(bars: pd.DataFrame) -> _Moves:
    price, volume = np.log(bars["close"].to_numpy()), bars["volume"].to_numpy()
    change = np.diff(price, prepend=price[0])
    size = np.abs(change)
    before = _usual_before(size)
    inside, reach = np.abs(price - np.log(bars["open"].to_numpy())), np.log((bars["high"] / bars["low"]).to_numpy())
    lively = _mean_before((volume > 0).astype(float)) >= LIVELY
    activity = np.minimum(_over_usual(volume), _over_usual(volume * bars["close"].to_numpy()))
    return _Moves(
        size=size,
        change=change,
        calm=(inside <= CALM_MOVE * before) & (reach <= CALM_RANGE * _usual_before(reach)),
        dwarfs_before=(before > 0) & (size >= np.maximum(DWARFED * before, OUTDONE * _largest_before(size))),
        dwarfs_after=~(size < np.maximum(DWARFED * _usual_after(size), OUTDONE * _largest_after(size))),
        has_volume=lively,
        loud=lively & (activity >= LOUD),
    )


def _usual_before(size: Array) -> Array:
    """The median size of the moves before each; that of the first ones where too few are before."""
    moves = pd.Series(size[1:])
    median = moves.rolling(BEFORE, min_periods=FEWEST).median().shift(1)
    return np.concatenate([[np.nan], median.fillna(moves[:BEFORE].median()).to_numpy()])


def _usual_after(size: Array) -> Array:
    """The median size of the moves after each, NaN where too few are."""
    backwards = pd.Series(size[::-1]).rolling(AFTER, min_periods=FEWEST).median().shift(1)
    return backwards.to_numpy()[::-1]


def _largest_before(size: Array) -> Array:
    """The largest move before each; zero where none is."""
    return pd.Series(size).rolling(BEFORE, min_periods=1).max().shift(1, fill_value=0.0).to_numpy()


def _largest_after(size: Array) -> Array:
    """The largest move after each, NaN where too few are."""
    backwards = pd.Series(size[::-1]).rolling(AFTER, min_periods=FEWEST).max().shift(1)
    return backwards.to_numpy()[::-1]


def _mean_before(values: Array) -> Array:
    return pd.Series(values).rolling(USUAL_VOLUME_SESSIONS, min_periods=FEWEST).mean().shift(1).to_numpy()


def _over_usual(values: Array) -> Array:
    usual = pd.Series(values).rolling(USUAL_VOLUME_SESSIONS, min_periods=FEWEST).median().shift(1).to_numpy()
    over: Array = np.divide(values, usual, out=np.full(len(values), np.inf), where=usual > 0)
    return over


def _unit_mixes(bars: pd.DataFrame) -> list[Finding]:
    """Bars whose own prices lie impossibly far apart."""
    close, high, low = (bars[column].to_numpy() for column in ("close", "high", "low"))
    apart = np.maximum(np.log(high / close), np.log(close / low)) >= IMPOSSIBLE

    def finding(row: int) -> Finding:
        far = high[row] if high[row] / close[row] > close[row] / low[row] else low[row]
        text = f"a price of {far:g} and a close of {close[row]:g} in one bar of {_day(bars, row)}: two units are mixed"
        return Finding(Rule.UNIT, Verdict.REFUSED, _day(bars, row), float(far), text)

    return listed(np.flatnonzero(apart), finding)


def _impossible(bars: pd.DataFrame, moves: _Moves, impossible: Mask) -> list[Finding]:
    hundred = (HUNDRED[0] <= moves.size) & (moves.size <= HUNDRED[1])

    def unit(row: int) -> Finding:
        share = "a hundredth" if moves.change[row] < 0 else "a hundred times"
        text = f"{_from_to(bars, row)}, about {share}: two units are mixed"
        return Finding(Rule.UNIT, Verdict.REFUSED, _day(bars, row), _close(bars, row), text)

    def step(row: int) -> Finding:
        text = f"{_from_to(bars, row)}, {np.exp(moves.change[row]):.3g} times that: no session moves a price so far"
        return Finding(Rule.STEP, Verdict.REFUSED, _day(bars, row), _close(bars, row), text)

    return listed(np.flatnonzero(impossible & hundred), unit) + listed(np.flatnonzero(impossible & ~hundred), step)


def _spikes(bars: pd.DataFrame, moves: _Moves) -> Mask:
    """The bars that leap away from a quiet level to which the price is back within `SPIKE_SESSIONS`."""
    price = np.log(bars["close"].to_numpy())
    found = np.zeros(len(price), dtype=bool)
    for sessions in range(1, SPIKE_SESSIONS + 1):
        back = np.arange(1, len(price) - sessions) + sessions
        leap = back - sessions
        returns = (moves.size[back] >= SPIKE) & (np.sign(moves.change[back]) != np.sign(moves.change[leap]))
        reverts = np.abs(price[back] - price[leap - 1]) <= REVERTED * moves.size[leap]
        alone = moves.dwarfs_before[leap] & moves.dwarfs_after[back]
        found[leap] |= (moves.size[leap] >= SPIKE) & returns & reverts & alone & ~moves.loud[leap]
    return found


def _just_after(spikes: Mask) -> Mask:
    """The bars in which a spike comes back."""
    after = np.zeros_like(spikes)
    for sessions in range(1, SPIKE_SESSIONS + 1):
        after[sessions:] |= spikes[:-sessions]
    return after


def _spike_findings(bars: pd.DataFrame, moves: _Moves, spikes: Mask) -> list[Finding]:
    def finding(row: int) -> Finding:
        verdict = Verdict.REFUSED if moves.size[row] >= REFUSED_SPIKE else Verdict.NOTED
        text = f"{_from_to(bars, row)}, and the price is back within {SPIKE_SESSIONS} sessions, without more volume: a wrong price"
        return Finding(Rule.SPIKE, verdict, _day(bars, row), _close(bars, row), text)

    large = spikes & (moves.size >= REFUSED_SPIKE)
    return listed(np.flatnonzero(large), finding) + listed(np.flatnonzero(spikes & ~large), finding)


def _step_findings(bars: pd.DataFrame, moves: _Moves, candidates: Mask) -> list[Finding]:
    alone = moves.dwarfs_before & moves.dwarfs_after & moves.calm
    steps = candidates & (moves.size >= STEP) & alone & ~moves.loud

    def finding(row: int) -> Finding:
        change = f"{100 * np.expm1(moves.change[row]):+.0f} %"
        if not moves.has_volume[row]:
            text = f"{_from_to(bars, row)}, {change} overnight; without volume nothing tells whether that is true"
            return Finding(Rule.STEP, Verdict.NOTED, _day(bars, row), _close(bars, row), text)
        text = f"{_from_to(bars, row)}, {change} overnight on usual volume: a split or a wrong factor, not a move"
        return Finding(Rule.STEP, Verdict.REFUSED, _day(bars, row), _close(bars, row), text)

    return listed(np.flatnonzero(steps), finding)


def _from_to(bars: pd.DataFrame, row: int) -> str:
    before = f"{_close(bars, row - 1):g} on {_day(bars, row - 1)}"
    return f"close is {_close(bars, row):g} on {_day(bars, row)} after {before}"


def _close(bars: pd.DataFrame, row: int) -> float:
    return float(bars["close"].iloc[row])


def _day(bars: pd.DataFrame, row: int) -> date:
    return pd.DatetimeIndex(bars.index)[row].date()
