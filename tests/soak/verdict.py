"""The first third after the warm-up beside the last one, and what must not differ between them.

The processes of a cluster are forked from one that has loaded everything, and share its memory until they write to it. Python
writes to each object that it uses, for its count of references. So a task process copies more and more of what it has, 40 of 130 MB
in the first half hour, which adds nothing to its own memory. A leak shows in the memory of a process; what all processes copy shows
in the sum of what they do not share.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import mean, median
from typing import TypeVar

import numpy as np
from rich.table import Table

from tests.soak.load import Answered
from tests.soak.samples import POSTGRES, TRAINER, Sample

Found = TypeVar("Found", Answered, Sample)

GROWTH, SLACK_MB = 1.04, 1.0  # in half of the run, between the middles of both spans
SHOWN = {"shared_mb": "shared memory, MB", "resident_mb": "resident, MB", "threads": "threads"}
FILES_OPEN, CONNECTIONS = "open files", "database connections"
FILES = 2  # more than before: a connection that is open at the moment
COLD = 12  # more than in the first seconds: of threads that had nothing to do yet; one per request would be a hundred
TIMES, ALLOWANCE_MS = 2, 50  # of the 99th percentile, as for attacks


@dataclass(frozen=True, slots=True)
class Windows:
    """The two spans that are compared, in seconds since the begin."""

    first: tuple[float, float]
    last: tuple[float, float]

    def of(self, found: Sequence[Found]) -> tuple[list[Found], list[Found]]:
        """What was found in each one."""
        within = [[each for each in found if begin <= each.at < end] for begin, end in (self.first, self.last)]
        return within[0], within[1]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure in both windows; the last one must not exceed `limit`, if there is one."""

    what: str
    first: float
    last: float
    limit: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the limit was kept."""
        return self.limit is None or self.last <= self.limit


def rows(samples: Sequence[Sample], answered: Sequence[Answered], windows: Windows) -> list[Row]:
    """All figures; none if the run was too short for both windows."""
    if not all((*windows.of(samples), *windows.of(answered))):
        return []
    return [*_uses(*windows.of(samples)), *_times(*windows.of(answered))]


def counts(found: Sequence[Row]) -> Iterator[Row]:
    """What can be judged after seconds: open files and connections. Those of Postgres depend on the connections."""
    for row in found:
        if row.what.endswith((FILES_OPEN, CONNECTIONS)) and POSTGRES not in row.what:
            yield replace(row, limit=row.first + COLD)


def _uses(first: Sequence[Sample], last: Sequence[Sample]) -> Iterator[Row]:
    def both(typical: Callable[[Iterable[float]], float], value: str, *parts: str) -> tuple[float, float]:
        before, after = (typical([each.total(value, *parts) for each in window]) for window in (first, last))
        return before, after

    parts = [part for part in first[0].uses if part != TRAINER]  # a trainer comes and goes
    for part in parts:
        if part != POSTGRES:  # whose processes end with their connections, most after a minute
            before, after = _most_grown(part, first, last)
            yield Row(f"{part}: memory of a process, MB", before, after, _flat(before))
        before, after = both(mean, "own_mb", part)
        yield Row(f"{part}: not shared, MB", before, after, _flat(before) if part == POSTGRES else None)
        for value, what in SHOWN.items():
            yield Row(f"{part}: {what}", *both(mean, value, part))
        before, after = both(median, "files", part)
        yield Row(f"{part}: {FILES_OPEN}", before, after, max(before + FILES, GROWTH * before))
    before, after = both(mean, "own_mb", *parts)
    yield Row("together: not shared, MB", before, after, _flat(before))
    before, after = (median(each.connections for each in window) for window in (first, last))
    yield Row(CONNECTIONS, before, after, before + FILES)


def _most_grown(part: str, first: Sequence[Sample], last: Sequence[Sample]) -> tuple[float, float]:
    """The mean memory, before and after, of the process that grew most; infinite if no process lived all the time."""
    lasting = set.intersection(*({*each.uses.get(part, {})} for each in (*first, *last)))
    means = [[mean(each.uses[part][pid].memory_mb for each in window) for window in (first, last)] for pid in lasting]
    before, after = max(means, key=lambda both: both[1] - GROWTH * both[0], default=(0.0, inf))
    return before, after


def _flat(before: float) -> float:
    """The most megabytes after so many before."""
    return GROWTH * before + SLACK_MB


def _times(first: Sequence[Answered], last: Sequence[Answered]) -> Iterator[Row]:
    for kind in sorted({each.kind for each in first} & {each.kind for each in last}):
        times = [[each.milliseconds for each in window if each.kind == kind] for window in (first, last)]
        for percent in (50, 99):
            before, after = (float(np.percentile(window, percent)) for window in times)
            yield Row(f"{kind}: p{percent}, ms", before, after, TIMES * before + ALLOWANCE_MS if percent == 99 else None)


def refused(answered: Sequence[Answered]) -> list[str]:
    """Answers that no client may get: none, an error, or a prediction without a forecast."""
    bad = Counter((each.kind, each.status, each.problem) for each in answered if each.problem)
    return [f"{count} bad answers: {kind}, {status}, {problem}" for (kind, status, problem), count in bad.most_common(10)]


def table(found: Sequence[Row]) -> Table:
    """One line per figure."""
    shown = Table("figure")
    for heading in ("first", "last", "limit"):
        shown.add_column(heading, justify="right")
    shown.add_column("kept")
    for row in found:
        limit = "" if row.limit is None else f"{row.limit:.1f}"
        shown.add_row(
            row.what, f"{row.first:.1f}", f"{row.last:.1f}", limit, "" if row.limit is None else "yes" if row.holds else "NO"
        )
    return shown
