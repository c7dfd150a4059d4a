"""Attacks by number: requests, made-up symbols, retrainings."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from forecasting.models import RequestedName, Symbol, Training
from forecasting.models.trainings import ACTIVE_STATES, TrainingReason
from tests.attack.target import KNOWN, OWNER, PROXY, REQUESTS_PER_MINUTE, TRAINED, Answer, Target, each, over_budget

AT_ONCE = 8
NAMES_PER_REQUEST = 50
NEW_SYMBOLS_PER_DAY = 200  # the default budgets of an address
RETRAININGS_PER_DAY = 30
FLOODER, INVENTOR, GUESSER = "127.6.6.2", "127.6.6.3", "127.6.6.10"
WRONG_KEY = {"Authorization": f"Api-Key {'a' * 8}.{'b' * 32}"}


def requests(target: Target, count: int) -> list[str]:
    """Case 2: one address sends as many requests as it can; so do a client behind the trusted proxy, and one with a wrong key."""
    problems = []
    for by, headers, status in ((FLOODER, {}, 200), (PROXY, {"X-Forwarded-For": "203.0.113.1"}, 200), (GUESSER, WRONG_KEY, 401)):
        began = time.monotonic()
        answers = _flood(target, count // 3, by=by, headers=headers)
        problems += over_budget([answer.status for answer in answers], seconds=time.monotonic() - began)
        problems += _flood_problems(answers, within=status)
    other = target.ask("POST", "/models/predict", {"symbols": KNOWN}, by=PROXY, headers={"X-Forwarded-For": "203.0.113.2"})
    return problems + ([f"another client of the proxy got {other.status}"] if other.status != 200 else [])


def _flood(target: Target, count: int, *, by: str, headers: dict[str, str]) -> list[Answer]:
    body = {"symbols": [KNOWN[0]]}
    return each(lambda _: target.ask("POST", "/models/predict", body, by=by, headers=headers), range(count), at_once=AT_ONCE)


def _flood_problems(answers: list[Answer], *, within: int) -> list[str]:
    statuses = Counter(answer.status for answer in answers)
    problems = [] if statuses.keys() == {within, 429} else [f"answers {dict(statuses)}"]
    if not all(answer.says_when for answer in answers if answer.status == 429):
        problems.append("a 429 does not say when to try again")
    enough = statuses[within] >= REQUESTS_PER_MINUTE
    return problems + ([] if enough else [f"only {statuses[within]} answers within the budget"])


def made_up_symbols(target: Target, count: int) -> list[str]:
    """Case 3: one address asks for symbols that do not exist."""
    symbols, trainings = Symbol.objects.count(), Training.objects.count()
    names = [f"MADEUP{number}" for number in range(count)]
    groups = [names[first : first + NAMES_PER_REQUEST] for first in range(0, count, NAMES_PER_REQUEST)]
    answers = each(lambda group: _invent(target, group), groups, at_once=AT_ONCE)
    mixed = _invent(target, ["MADEUPTOO", KNOWN[0]]).json["predictions"]
    problems = [] if {answer.status for answer in answers} <= {200, 429} else ["other answers than 200 and 429"]
    if [forecast["status"] for forecast in mixed.values()] != ["failed", "success"]:
        problems.append(f"a known symbol beside a refused one: {mixed}")
    if not all(answer.says_when for answer in answers if answer.status == 429):
        problems.append("a 429 does not say when to try again")
    stored = RequestedName.objects.filter(ticker__startswith="MADEUP").count()
    problems += [f"{stored} names are stored"] if stored > NEW_SYMBOLS_PER_DAY else []
    grown = Symbol.objects.count() > symbols or Training.objects.count() > trainings
    return problems + (["a made-up name is a symbol or is trained"] if grown else [])


def _invent(target: Target, names: list[str]) -> Answer:
    return target.ask("POST", "/models/predict", {"symbols": names}, by=INVENTOR)


def retrainings(target: Target, count: int) -> list[str]:
    """Case 4: many addresses ask again and again for retrainings, while two symbols wait for their first training."""
    trained, new = KNOWN[:2] if target.short else TRAINED, ["NEW1", "NEW2"]
    target.until_trained(trained)
    _retrain(target, trained, range(len(trained)))  # one runs now, the others wait
    enqueued = _enqueued_ever()
    target.ask("POST", "/models/check", {"symbols": new}, by=OWNER)
    with ThreadPoolExecutor(1) as thread:
        loop = thread.submit(_retrain, target, trained, range(count))
        positions = _positions(target, new)
        statuses = loop.result()
    problems = [] if statuses <= {202, 429} else [f"answers {statuses}"]
    if (tasks := _enqueued_ever() - enqueued) > count / 2:  # pings and trainings have a few
        problems.append(f"{tasks} tasks were enqueued")
    problems += [f"{symbol} moved back: {seen}" for symbol, seen in positions.items() if seen != sorted(seen, reverse=True)]
    return problems + [
        f"{symbol}: {overtaken} retrainings were started before it" for symbol in new if (overtaken := _before(symbol))
    ]


def _retrain(target: Target, symbols: tuple[str, ...], numbers: range) -> set[int]:
    """The statuses of retrainings, from as many addresses as the budget needs."""

    def ask(number: int) -> int:
        address = f"127.9.0.{1 + number // RETRAININGS_PER_DAY % 250}"
        return target.ask("POST", "/models/retrain", {"symbol": symbols[number % len(symbols)]}, by=address).status

    return set(each(ask, numbers, at_once=AT_ONCE))


def _positions(target: Target, symbols: list[str]) -> dict[str, list[int]]:
    """The positions of first trainings in the queue, until they have ended."""
    seen: dict[str, list[int]] = {symbol: [] for symbol in symbols}

    def ended() -> bool:
        for row in target.ask("POST", "/models/check", {"symbols": symbols}, by=OWNER).json:
            if row["training"]:
                seen[row["symbol"]].append(row["training"]["position"] or 0)  # it runs
        return not Training.objects.filter(symbol__ticker__in=symbols, state__in=ACTIVE_STATES).exists()

    target.service.until("the first trainings", ended, seconds=400)
    return seen


def _enqueued_ever() -> int:
    """How many tasks the queue has ever got."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM django_q_ormq_id_seq")
        return int(cursor.fetchone()[0])


def _before(symbol: str) -> int:
    """How many anonymous retrainings were started while the symbol waited for its first training."""
    first = Training.objects.filter(symbol__ticker=symbol).earliest("pk")
    asked = Training.objects.filter(reason=TrainingReason.ASKED_ANONYMOUSLY)
    return asked.filter(started_at__gt=first.created_at, started_at__lt=first.started_at).count()
