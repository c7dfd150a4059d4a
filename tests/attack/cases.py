"""All attacks by number, and how large each one is."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.attack import connections, floods, intruders, malformed
from tests.attack.honest import HEALTH, PREDICT, Felt, honest_client
from tests.attack.target import KNOWN, Target, rows

QUIET_SECONDS = 15.0  # of measuring before the attack
TIMES, ALLOWANCE_MS = 2, 50  # what an attack may cost others: the 99th percentile before, so many times, and a little more


@dataclass(frozen=True, slots=True)
class Case:
    """One attack. `long`, `short`: its size in each form."""

    number: int
    attack: str
    run: Callable[[Target, int], list[str]]
    long: int
    short: int


@dataclass(frozen=True, slots=True)
class Result:
    """What others felt before (long form only) and during the attack, the rows that it added, and the broken promises."""

    case: Case
    count: int
    seconds: float
    before: Felt | None
    during: Felt
    stored: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


CASES = (
    Case(1, "slow headers, slow bodies, idle connections", connections.slow_clients, long=200, short=30),
    Case(2, "requests from one address", floods.requests, long=6000, short=960),
    Case(3, "made-up symbols", floods.made_up_symbols, long=10_000, short=300),
    Case(5, "guessed logins", intruders.guessed_logins, long=100, short=10),
    Case(6, "forged and broken headers", malformed.headers, long=2000, short=330),
    Case(7, "pickles in the queue's tables", intruders.planted_pickles, long=50, short=1),
    Case(8, "webhooks into the private network", intruders.private_webhooks, long=1, short=1),
    Case(9, "oversize, chunked and nested bodies", malformed.bodies, long=30, short=1),
    Case(10, "clients that wait, and read CSV slowly", connections.slow_readers, long=100, short=12),
    Case(4, "retrainings in a loop", floods.retrainings, long=600, short=60),  # last: its trainings take a while
)


def run(case: Case, target: Target) -> Result:
    """Runs one attack while an honest client asks."""
    count = case.short if target.short else case.long
    before = None if target.short else _quiet(target)
    stored, began = rows(), time.monotonic()
    with honest_client(target.port, KNOWN) as during:
        problems = case.run(target, count)
    seconds = time.monotonic() - began
    grown = {table: number - stored.get(table, 0) for table, number in rows().items() if number > stored.get(table, 0)}
    problems += [f"{len(during.failures)} requests of others failed: {during.failures[0]}"] if during.failures else []
    if before:
        problems += _slower(before, during)
        target.until_idle()
    return Result(case, count, seconds, before, during, grown, problems)


def _quiet(target: Target) -> Felt:
    with honest_client(target.port, KNOWN) as felt:
        time.sleep(QUIET_SECONDS)
    return felt


def _slower(before: Felt, during: Felt) -> list[str]:
    """The routes that others had to wait for longer than an attack may cost them."""
    problems = []
    for route in (PREDICT, HEALTH):
        limit, found = TIMES * before.percentile(route, 99) + ALLOWANCE_MS, during.percentile(route, 99)
        if found > limit:
            problems.append(f"p99 of {route} is {found:.0f} ms, the limit is {limit:.0f} ms")
    return problems
