"""Findings of the quality gate: each has a rule, a verdict, a date, a value and a text."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")

MOST_LISTED = 20  # findings per rule; the last one says how many more there are
MOST_NAMED = 3  # findings that a reason names after the first one


class Named(StrEnum):
    """Values without blanks, for programs; labels for people."""

    @property
    def label(self) -> str:
        """The value in words."""
        return self.value.replace("_", " ")


class Rule(Named):
    """The check that produced a finding."""

    SHAPE = "shape"
    ORDER = "order"  # only of an earlier release; stored findings may have it
    DUPLICATE = "duplicate"
    PRICE = "price"
    RANGE = "range"
    VOLUME = "volume"
    PHANTOM = "phantom_holiday"
    SESSION = "session"
    UNIT = "unit_jump"
    STEP = "step"
    SPIKE = "spike"
    STALE = "stale_run"
    NO_TRADES = "no_trades"
    GAP = "gap"
    FEW = "few_bars"
    OLD = "old_bars"


class Verdict(Named):
    """How the gate handled a finding.

    `repaired`: the correct value is certain. `left_out`: it is not; a bar, or all bars before a session, is excluded.
    `refused`: no usable bars remain, or the newest ones must wait. `noted`: everything else.
    """

    REPAIRED = "repaired"
    LEFT_OUT = "left_out"
    REFUSED = "refused"
    NOTED = "noted"


@dataclass(frozen=True, slots=True)
class Finding:
    """One irregularity. `date` is None if it concerns all bars; `value` is None if it has no finite value."""

    rule: Rule
    verdict: Verdict
    date: date | None
    value: float | None
    text: str


def listed(places: Sequence[T], finding: Callable[[T], Finding]) -> list[Finding]:
    """One finding per place (a row, or a run of rows), `MOST_LISTED` at most."""
    found = [finding(place) for place in places[:MOST_LISTED]]
    if more := len(places) - len(found):
        found[-1] = replace(found[-1], text=f"{found[-1].text}; {more:,} more follow")
    return found


def refused(findings: Iterable[Finding]) -> list[Finding]:
    """The findings whose bars must not be used for training."""
    return [finding for finding in findings if finding.verdict == Verdict.REFUSED]


def reason(findings: Sequence[Finding]) -> str:
    """Why bars were refused: the first refused finding in full, the others by rule and date."""
    first, *others = refused(findings)
    if not others:
        return first.text
    named = [f"{other.rule.label} on {other.date}" if other.date else other.rule.label for other in others[:MOST_NAMED]]
    more = [f"{len(others) - MOST_NAMED} more findings"] if len(others) > MOST_NAMED else []
    return f"{first.text} (also: {', '.join(named + more)})"
