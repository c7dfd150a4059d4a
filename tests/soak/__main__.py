"""`python -m tests.soak [MINUTES]`: prints a line for each sample, then the table, and fails if something grew or went wrong."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.soak.load import Load
from tests.soak.service import Service, running

if TYPE_CHECKING:
    from tests.soak.samples import Sample

FOLDER = Path(__file__).resolve().parents[2] / ".state" / "soak"
LONG, SHORT = (12, 60), (1, 12)  # days that pass and samples, in the time of the run
PARTS = 6  # of the run: the first one warms up, the second one is compared with the last one

page = Console(highlight=False, width=200)


def main() -> int:
    """The exit status: 0 if nothing grew and the ledger is consistent."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=60.0)
    parser.add_argument("--short", action="store_true", help="one day, and no judgement of memory and times")
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes
    days, count = SHORT if arguments.short else LONG
    page.print("Starting the service ...")
    with running(FOLDER, days=days) as service:
        from tests.soak import ledger, verdict  # noqa: PLC0415 - needs Django

        load = Load(service.target)
        with load.running():
            samples = _watch(service, load, seconds=seconds, days=days, count=count)
        service.target.until_idle()
        part = seconds / PARTS
        found = verdict.rows(samples, load.answered, verdict.Windows((part, 2 * part), (seconds - part, seconds)))
        page.print(verdict.table(found))
        problems = (
            [] if arguments.short else [f"{row.what}: {row.first:.1f}, then {row.last:.1f}" for row in found if not row.holds]
        )
        problems += [*verdict.refused(load.answered), *ledger.problems(), *ledger.logged_errors()]
        _tell_statuses(load)
    for problem in problems:
        _say(f"PROBLEM: {problem}")
    _say(f"{seconds / 60:.1f} minutes, {days} days, {len(load.answered)} answers, {len(problems)} problems")
    return 1 if problems else 0


def _watch(service: Service, load: Load, *, seconds: float, days: int, count: int) -> "list[Sample]":
    """Takes `count` samples and lets days pass until the time is over."""
    from tests.soak import samples  # noqa: PLC0415 - needs Django

    taken: list[Sample] = []
    with ThreadPoolExecutor(1) as calendar:
        passing: list[Future[str]] = []
        for number in range(1, count + 1):
            time.sleep(max(0.0, load.began + number * seconds / count - time.monotonic()))
            taken.append(sample := samples.look(service.folder, at=time.monotonic() - load.began))
            uses = ", ".join(f"{part} {use.own_mb:.0f} MB {use.files} files" for part, use in sample.uses.items())
            _say(f"{sample.at:6.0f} s {sample.connections} connections, {len(load.answered)} answers, {uses}")
            if len(passing) < days and number >= (len(passing) + 0.5) * count / days:
                passing.append(calendar.submit(service.next_day))
                passing[-1].add_done_callback(lambda day: _say(day.exception() or day.result()))
    for day in passing:
        day.result()
    return taken


def _say(line: object) -> None:
    page.print(line, markup=False, soft_wrap=True)


def _tell_statuses(load: Load) -> None:
    for (kind, status), count in sorted(Counter((each.kind, each.status) for each in load.answered).items()):
        _say(f"{kind}: {count} answers {status}")


if __name__ == "__main__":
    sys.exit(main())
