"""`python -m tests.attack`: the long form of the attack suite; prints a table and fails if an attack did not hold."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.attack.honest import HEALTH, PREDICT, Felt
from tests.attack.target import running

if TYPE_CHECKING:
    from tests.attack.cases import Result

FOLDER = Path(__file__).resolve().parents[2] / ".state" / "attack"


def main() -> int:
    """The exit status: 0 if the service kept all promises."""
    arguments = _arguments()
    page = Console(highlight=False, width=170)
    page.print("Starting the service ...")
    results = []
    with running(FOLDER, short=arguments.short) as target:
        from tests.attack import cases  # noqa: PLC0415 - needs Django

        for case in cases.CASES:
            if arguments.cases and case.number not in arguments.cases:
                continue
            results.append(result := cases.run(case, target))
            page.print(f"  {case.number:2} {case.attack}: {'; '.join(result.problems) or 'held'}", markup=False)
    page.print(table(results))
    failed = [result for result in results if result.problems]
    page.print(f"{len(results) - len(failed)} of {len(results)} attacks were without effect on others")
    return 1 if failed else 0


def table(results: "list[Result]") -> Table:
    """A table with one row per attack; times are p50 / p99 in ms."""
    shown = Table(show_lines=True)
    for heading in ("attack", "size", "seconds", "predict before", "during", "/health before", "during", "stored", "held"):
        shown.add_column(heading)
    for result in results:
        felt = [times(each, route) for route in (PREDICT, HEALTH) for each in (result.before, result.during)]
        name, stored = f"{result.case.number} {result.case.attack}", ", ".join(f"{n} {t}" for t, n in result.stored.items())
        shown.add_row(name, str(result.count), f"{result.seconds:.0f}", *felt, stored, "no" if result.problems else "yes")
    return shown


def times(felt: Felt | None, route: str) -> str:
    """The median and the 99th percentile of one route."""
    return f"{felt.percentile(route, 50):.0f} / {felt.percentile(route, 99):.0f}" if felt else ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("cases", nargs="*", type=int, help="numbers of attacks; all by default")
    parser.add_argument("--short", action="store_true", help="the short form, as the tests run it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
