"""`python -m tests.chaos`: the long form of the fault suite; prints a table and fails if anything was lost or doubled."""

import argparse
import os
import sys
import time
from typing import Any

import django
from rich.console import Console
from rich.table import Table


def main() -> int:
    """The exit status: 0 if all invariants held and no limit was exceeded."""
    arguments = _arguments()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    os.environ["ENABLE_LOGS"] = "False"
    django.setup()
    from tests.chaos import suite  # noqa: PLC0415 - needs Django
    from tests.chaos.cases import CASES  # noqa: PLC0415

    page = Console(highlight=False, width=150)
    cases = [case for case in CASES if not arguments.cases or case.number in arguments.cases]
    trials = suite.short_form(cases) if arguments.short else suite.long_form(cases, factor=arguments.count)
    page.print(f"{len(trials)} trials of {len(cases)} faults, {arguments.jobs} at a time")
    began = time.monotonic()
    results = []
    for result in suite.run(trials, at_once=arguments.jobs):
        results.append(result)
        state = "; ".join(result.problems) or "passed"
        page.print(f"  {result.trial.case.number:2} {result.trial.case.fault}, {result.trial.count} times: {state}")
    page.print(table(results))
    failed = [result for result in results if result.problems]
    page.print(f"{time.monotonic() - began:.0f} s in all, {len(failed)} of {len(results)} trials failed")
    for result in failed:
        page.print(f"logs of {result.trial.case.fault}: {result.folder}")
    return 1 if failed else 0


def table(results: list[Any]) -> Table:
    """A table with one row per measurement."""
    shown = Table()
    for heading in ("fault", "timings", "times", "trainings", "visible", "n", "median", "longest", "limit", "samples/s", "seconds"):
        shown.add_column(heading, justify="left" if heading in ("fault", "visible", "timings") else "right")
    for result in results:
        trial = result.trial
        first = [
            f"{trial.case.number} {trial.case.fault}",
            "fast" if trial.fast else "default",
            str(trial.count),
            str(result.trainings),
        ]
        last = [str(result.samples_per_second), f"{result.seconds:.0f}"]
        by_what: dict[str, list[dict[str, Any]]] = {}
        for each in result.measured:
            by_what.setdefault(each["what"], []).append(each)
        for what, all_of_it in by_what.items():
            seconds = sorted(each["seconds"] for each in all_of_it)
            middle, longest, limit = seconds[len(seconds) // 2], seconds[-1], all_of_it[0]["limit"]
            shown.add_row(*first, what, str(len(seconds)), f"{middle:.2f} s", f"{longest:.2f} s", f"{limit:.0f} s", *last)
            first, last = [""] * 4, [""] * 2
        if not by_what:
            shown.add_row(*first, "", "", "", "", "", *last)
    return shown


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("cases", nargs="*", type=int, help="numbers of faults; all by default")
    parser.add_argument("--count", type=float, default=1.0, help="factor for the number of repetitions")
    parser.add_argument("--jobs", type=int, default=4, help="parallel trials")
    parser.add_argument("--short", action="store_true", help="the short form, as the tests run it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
