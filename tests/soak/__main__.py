"""`python -m tests.soak [MINUTES]`: prints a line for each sample, then the table, and fails if something grew or went wrong."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.soak.load import Load
from tests.soak.prices import ALL, QUICK
from tests.soak.service import Service, running

if TYPE_CHECKING:
    from tests.soak import verdict
    from tests.soak.samples import Sample

FOLDER = Path(__file__).resolve().parents[2] / ".state" / "soak"
PARTS = 6  # of the run: the first one warms up, the next two are compared with the last two


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A run: how long, how many days pass and samples are taken meanwhile, and which symbols have forecasts from the begin."""

    seconds: float
    days: int
    samples: int
    serving: Sequence[str]

    @property
    def windows(self) -> "verdict.Windows":
        """The parts that are compared."""
        from tests.soak import verdict  # noqa: PLC0415 - needs Django

        part = self.seconds / PARTS
        return verdict.Windows((part, 3 * part), (self.seconds - 2 * part, self.seconds))


LONG = Form(seconds=3600, days=12, samples=60, serving=ALL)
SHORT = Form(seconds=12, days=1, samples=24, serving=QUICK)

page = Console(highlight=False, width=200)


def main() -> int:
    """The exit status: 0 if nothing grew and the ledger is consistent."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=60.0)
    parser.add_argument("--short", action="store_true", help="the form of `make test`: one day, no judgement of memory and times")
    arguments = parser.parse_args()
    form = SHORT if arguments.short else replace(LONG, seconds=60 * arguments.minutes)
    page.print("Starting the service ...")
    with running(FOLDER / ("short" if arguments.short else "long"), days=form.days, serving=form.serving) as service:
        from tests.soak import ledger, verdict  # noqa: PLC0415 - needs Django

        load = Load(service.target, form.serving)
        with load.running():
            samples = _watch(service, load, form)
        service.target.until_idle()
        found = verdict.rows(samples, load.answered, form.windows)
        page.print(verdict.table(found))
        judged = verdict.counts(found) if arguments.short else found
        problems = [f"{row.what}: {row.first:.1f}, then {row.last:.1f}" for row in judged if not row.holds]
        problems += [*verdict.refused(load.answered), *ledger.problems(), *ledger.logged_errors()]
        _tell_answers(load)
    for problem in problems:
        _say(f"PROBLEM: {problem}")
    _say(f"{form.seconds / 60:.1f} minutes, {form.days} days, {len(load.answered)} answers, {len(problems)} problems")
    return 1 if problems else 0


def _watch(service: Service, load: Load, form: Form) -> "list[Sample]":
    """Takes the samples and lets days pass until the time is over."""
    from tests.soak import samples  # noqa: PLC0415 - needs Django

    taken: list[Sample] = []
    with ThreadPoolExecutor(1) as calendar:
        passing: list[Future[str]] = []
        for number in range(1, form.samples + 1):
            time.sleep(max(0.0, load.began + number * form.seconds / form.samples - time.monotonic()))
            taken.append(sample := samples.look(service.folder, at=time.monotonic() - load.began))
            told = (f"{part} {sample.total('own_mb', part):.0f} MB {sample.total('files', part):.0f} files" for part in sample.uses)
            _say(f"{sample.at:6.0f} s {sample.connections} connections, {len(load.answered)} answers, {', '.join(told)}")
            if len(passing) < form.days and number >= (len(passing) + 0.5) * form.samples / form.days:
                passing.append(calendar.submit(service.next_day))
                passing[-1].add_done_callback(lambda day: _say(day.exception() or day.result()))
    for day in passing:
        day.result()
    return taken


def _say(line: object) -> None:
    page.print(line, markup=False, soft_wrap=True)


def _tell_answers(load: Load) -> None:
    """How many of each kind, and when the slowest ones were sent."""
    for (kind, status), count in sorted(Counter((each.kind, each.status) for each in load.answered).items()):
        slowest = nlargest(4, (each for each in load.answered if each.kind == kind), key=lambda each: each.milliseconds)
        told = ", ".join(f"{each.milliseconds:.0f} ms at {each.at:.0f} s" for each in slowest)
        _say(f"{kind}: {count} answers {status}, the slowest {told}")


if __name__ == "__main__":
    sys.exit(main())
