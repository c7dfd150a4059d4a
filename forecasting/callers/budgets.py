"""Budgets of a caller: requests a minute, new symbols and retrainings a day. All processes share them."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, Generic, NamedTuple

from django.conf import settings
from django.db.models.functions import Now

from forecasting.callers.caller import Caller
from forecasting.models import Spending
from forecasting.models.prepared import Prepared, PreparedStatement, Row, Statement

# One statement, so that concurrent requests cannot exceed the limit together. It locks only the caller's own row. A period begins
# with the first use after the last period's end.
SPEND = PreparedStatement(
    "spend",
    ["text", "text", "int", "int", "interval"],  # caller, budget, wanted, limit, period
    lambda: (
        """
        INSERT INTO forecasting_spending AS spent (caller, budget, used, granted, ends_at)
        VALUES ($1, $2, least($3, $4), least($3, $4), statement_timestamp() + $5)
        ON CONFLICT (caller, budget) DO UPDATE SET
            used = CASE WHEN spent.ends_at <= statement_timestamp() THEN excluded.used
                ELSE greatest(spent.used, least(spent.used + $3, $4)) END,
            granted = CASE WHEN spent.ends_at <= statement_timestamp() THEN excluded.granted
                ELSE greatest(0, least($3, $4 - spent.used)) END,
            ends_at = CASE WHEN spent.ends_at <= statement_timestamp() THEN excluded.ends_at ELSE spent.ends_at END
        RETURNING granted, extract(epoch FROM ends_at - statement_timestamp())::float AS wait_s
        """,
        (),
    ),
)


class Budget(Enum):
    """What is counted: the end of the setting's name, the period, and the words of a refusal."""

    REQUESTS = ("REQUESTS_PER_MINUTE", timedelta(minutes=1), "send {limit} requests a minute")
    NEW_SYMBOLS = ("NEW_SYMBOLS_PER_DAY", timedelta(days=1), "ask for {limit} new symbols a day")
    RETRAININGS = ("RETRAININGS_PER_DAY", timedelta(days=1), "start {limit} retrainings a day")

    def limit(self, caller: Caller) -> int:
        """How much the settings allow this caller in a period; 0 if there is no limit."""
        ending, _, _ = self.value
        return int(getattr(settings, f"{'ANONYMOUS' if caller.is_anonymous else 'KEY'}_{ending}"))

    def refusal(self, caller: Caller) -> str:
        """The rule that refuses more."""
        _, _, words = self.value
        return f"your {caller.kind} may {words.format(limit=self.limit(caller))}"


class Spent(NamedTuple):
    """How many of the wanted units a budget had left, and the seconds until it is full again."""

    granted: int
    wait_s: float


class OverBudgetError(Exception):
    """The caller has asked for too much. The text says of what, and when to try again."""

    def __init__(self, reason: str, *, wait_s: float) -> None:
        super().__init__(f"{reason}; try again in {in_words(wait_s)}")
        self.wait_s = math.ceil(wait_s)


class NewSymbols:
    """Admits names that the service has never seen, as many as the caller's budget allows, in their order."""

    def __init__(self, caller: Caller, *, of: Sequence[str] = ()) -> None:
        """`of`: all symbols of a request which ends with an error if it has no other ones than those that are refused."""
        self._caller, self._asked = caller, set(of)

    def __call__(self, tickers: Sequence[str]) -> Mapping[str, str]:
        """Spends the budget for these; returns the reason for each one that is refused.

        Raises OverBudgetError if no symbol of `of` is left: what else the request needs would be work for nothing.
        """
        granted, wait_s = spend(self._caller, Budget.NEW_SYMBOLS, wanted=len(tickers))
        refused = tickers[granted:]
        error = OverBudgetError(Budget.NEW_SYMBOLS.refusal(self._caller), wait_s=wait_s)
        if self._asked and self._asked.issubset(refused):
            raise error
        return dict.fromkeys(refused, str(error))


def spend(caller: Caller, budget: Budget, *, wanted: int) -> Spent:
    """Takes as many of the wanted units as the budget has left."""
    if not (wanted and (limit := budget.limit(caller))):
        return Spent(wanted, 0.0)
    ((granted, wait_s),) = SPEND.rows(*_values(caller, budget, wanted=wanted, limit=limit))
    return Spent(granted, wait_s)


def _values(caller: Caller, budget: Budget, *, wanted: int, limit: int) -> tuple[str, str, int, int, str]:
    """The parameters of SPEND."""
    return f"{caller.kind}:{caller.id}", budget.name.lower(), wanted, limit, f"{budget.value[1].total_seconds()} s"


def spend_one(caller: Caller, budget: Budget) -> None:
    """Takes one unit. Raises OverBudgetError if nothing is left."""
    _require(spend(caller, budget, wanted=1), caller, budget)


def _require(spent: Spent, caller: Caller, budget: Budget) -> None:
    if not spent.granted:
        raise OverBudgetError(budget.refusal(caller), wait_s=spent.wait_s)


class Charged(Generic[Row]):
    """A prepared query that counts a request of its caller in the same statement, and finds nothing if the caller is over budget.

    A statement of its own would take a request as long as many of its other steps together: another process has to run meanwhile.
    """

    def __init__(self, query: Prepared[Row]) -> None:
        self._query = query
        inner = query.statement
        self._statement = PreparedStatement(
            f"charged_{inner.name}", [*SPEND.types, *inner.types], lambda: _charged(*inner.compiled())
        )

    def rows(self, values: Sequence[Any], *, caller: Caller) -> list[Row]:
        """The rows for these values. Raises OverBudgetError."""
        if not (limit := Budget.REQUESTS.limit(caller)):
            return list(self._query.rows(values))
        found = self._statement.rows(*_values(caller, Budget.REQUESTS, wanted=1, limit=limit), list(values))
        _require(Spent(*found[0][:2]), caller, Budget.REQUESTS)
        return [self._query.read(row[3:]) for row in found if row[2]]


def _charged(sql: str, constants: Sequence[Any]) -> Statement:
    """The query after SPEND. Its rows follow `granted`, `wait_s` and true. If nothing is left, it gets no values to look for."""
    spend_sql, _ = SPEND.compiled()
    own = sql.replace("$1", "(CASE WHEN (SELECT granted FROM spent) > 0 THEN $6 END)")
    return (
        f"""
        WITH spent AS ({spend_sql})
        SELECT spent.granted, spent.wait_s, found.*
        FROM spent LEFT JOIN (SELECT true, query.* FROM ({own}) AS query) AS found ON true
        """,  # noqa: S608 - statements of our own
        constants,
    )


def forget_ended() -> int:
    """Deletes the rows of periods that have ended; returns how many. They would count as empty."""
    deleted, _ = Spending.objects.filter(ends_at__lt=Now()).delete()
    return deleted


def in_words(seconds: float) -> str:
    """A time to wait, rounded up: `42 s`, `5 min`, `3 h`."""
    for unit, size in (("s", 1), ("min", 60)):
        if seconds <= 100 * size:
            return f"{max(1, math.ceil(seconds / size))} {unit}"
    return f"{math.ceil(seconds / 3600)} h"
