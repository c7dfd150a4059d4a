"""Budgets of a caller: requests a minute, new symbols and retrainings a day. All processes share them."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import NamedTuple

from django.conf import settings
from django.db.models.functions import Now

from forecasting.callers.caller import Caller
from forecasting.models import Spending
from forecasting.models.prepared import PreparedStatement

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
        RETURNING granted, extract(epoch FROM ends_at - statement_timestamp())::float
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

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._error: OverBudgetError | None = None
        self._refused: set[str] = set()

    def __call__(self, tickers: Sequence[str]) -> Mapping[str, str]:
        """Spends the budget for these; returns the reason for each one that is refused."""
        granted, wait_s = spend(self._caller, Budget.NEW_SYMBOLS, wanted=len(tickers))
        self._refused.update(refused := tickers[granted:])
        self._error = OverBudgetError(Budget.NEW_SYMBOLS.refusal(self._caller), wait_s=wait_s)
        return dict.fromkeys(refused, str(self._error))

    def require_any(self, tickers: Sequence[str]) -> None:
        """Raises OverBudgetError if it has refused all of these."""
        if self._error and self._refused.issuperset(tickers):
            raise self._error


def spend(caller: Caller, budget: Budget, *, wanted: int) -> Spent:
    """Takes as many of the wanted units as the budget has left."""
    if not (wanted and (limit := budget.limit(caller))):
        return Spent(wanted, 0.0)
    period = f"{budget.value[1].total_seconds()} s"
    ((granted, wait_s),) = SPEND.rows(f"{caller.kind}:{caller.id}", budget.name.lower(), wanted, limit, period)
    return Spent(granted, wait_s)


def spend_one(caller: Caller, budget: Budget) -> None:
    """Takes one unit. Raises OverBudgetError if nothing is left."""
    granted, wait_s = spend(caller, budget, wanted=1)
    if not granted:
        raise OverBudgetError(budget.refusal(caller), wait_s=wait_s)


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
