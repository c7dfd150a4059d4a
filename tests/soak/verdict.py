"""The first third after the warm-up beside the last one, and what must not differ between them.

A task process grows with its first tasks, by 20 MB with its first daily job, and is renewed after some two hours. Twenty minutes
have four daily jobs, and who does one is chance.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import TypeVar

import numpy as np
from rich.table import Table

from tests.soak.load import Answered
from tests.soak.samples import POSTGRES, TRAINER, Sample, Use

Found = TypeVar("Found", Answered, Sample)

GROWTH, SLACK_MB = 1.04, 1.0  # in half of the run, between the middles of both spans
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
    def both(typical: Callable[[Iterable[float]], float], value: Callable[[Use], float]) -> tuple[float, float]:
        before, after = (typical(value(each.uses[part]) for each in window if part in each.uses) for window in (first, last))
        return before, after

    for part in first[0].uses:
        if part == TRAINER or not all(any(part in each.uses for each in window) for window in (first, last)):
            continue  # it comes and goes
        before, after = both(mean, lambda use: use.own_mb)  # task processes grow in steps
        yield Row(f"{part}: own memory, MB", before, after, GROWTH * before + SLACK_MB)
        if part == POSTGRES:
            yield Row(f"{part}: shared memory, MB", *both(mean, lambda use: use.shared_mb))
        yield Row(f"{part}: resident, MB", *both(mean, lambda use: use.resident_mb))
        before, after = both(median, lambda use: use.files)
        yield Row(f"{part}: {FILES_OPEN}", before, after, max(before + FILES, GROWTH * before))
        yield Row(f"{part}: threads", *both(median, lambda use: use.threads))
    before, after = (median(each.connections for each in window) for window in (first, last))
    yield Row(CONNECTIONS, before, after, before + FILES)


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
