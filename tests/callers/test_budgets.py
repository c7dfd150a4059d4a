"""Budgets: shared by all processes, exact under concurrency, and separate for each caller."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from forecasting.callers.budgets import Budget, NewSymbols, OverBudgetError, Spent, forget_ended, in_words, spend, spend_one
from forecasting.callers.caller import Caller, Kind
from forecasting.models import Spending
from tests.racing import at_once, begin

pytestmark = pytest.mark.django_db

ANA = Caller(Kind.ADDRESS, id="203.0.113.9", name="203.0.113.9")
BOB = Caller(Kind.ADDRESS, id="198.51.100.7", name="198.51.100.7")
KEY = Caller(Kind.KEY, id="abcdefgh", name="robot")


@pytest.fixture(autouse=True)
def _small_budgets(settings: Settings) -> None:
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = settings.ANONYMOUS_NEW_SYMBOLS_PER_DAY = 3
    settings.KEY_REQUESTS_PER_MINUTE = 5


def granted(caller: Caller, *, times: int, budget: Budget = Budget.REQUESTS) -> list[int]:
    return [spend(caller, budget, wanted=1).granted for _ in range(times)]


def end_periods() -> None:
    """As if the periods had begun two days earlier."""
    Spending.objects.update(ends_at=F("ends_at") - timedelta(days=2))


def test_a_budget_is_spent_until_it_is_empty() -> None:
    assert granted(ANA, times=5) == [1, 1, 1, 0, 0]


def test_a_budget_is_full_again_when_its_period_has_ended() -> None:
    granted(ANA, times=4)
    end_periods()
    assert granted(ANA, times=4) == [1, 1, 1, 0]


def test_refusals_do_not_make_the_period_longer() -> None:
    granted(ANA, times=3)
    ends_at = Spending.objects.get().ends_at
    granted(ANA, times=3)
    assert Spending.objects.get().ends_at == ends_at


def test_every_caller_has_a_budget_of_its_own() -> None:
    granted(ANA, times=4)
    assert granted(BOB, times=4) == [1, 1, 1, 0]


def test_the_budgets_of_a_caller_are_separate() -> None:
    granted(ANA, times=4)
    assert granted(ANA, times=1, budget=Budget.NEW_SYMBOLS) == [1]


def test_a_key_has_a_larger_budget_than_an_address() -> None:
    assert sum(granted(KEY, times=9)) == 5


def test_as_many_as_fit_are_granted() -> None:
    assert [spend(ANA, Budget.NEW_SYMBOLS, wanted=2).granted for _ in range(3)] == [2, 1, 0]


def test_a_smaller_limit_counts_at_once(settings: Settings) -> None:
    granted(ANA, times=3)
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 1
    assert granted(ANA, times=1) == [0]
    assert Spending.objects.get().used == 3


def test_zero_switches_a_budget_off(settings: Settings) -> None:
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 0
    assert spend(ANA, Budget.REQUESTS, wanted=1000) == Spent(1000, 0.0)
    assert not Spending.objects.exists()


@pytest.mark.parametrize(("budget", "seconds"), [(Budget.REQUESTS, 60), (Budget.NEW_SYMBOLS, 86_400)])
def test_a_refusal_says_how_long_to_wait(budget: Budget, seconds: int) -> None:
    granted(ANA, times=3, budget=budget)
    assert seconds - 30 < spend(ANA, budget, wanted=1).wait_s <= seconds


def test_a_refusal_names_the_rule_and_the_wait() -> None:
    granted(ANA, times=3, budget=Budget.NEW_SYMBOLS)
    with pytest.raises(OverBudgetError, match=r"^your address may ask for 3 new symbols a day; try again in 24 h$"):
        spend_one(ANA, Budget.NEW_SYMBOLS)


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_do_not_exceed_the_budget_together() -> None:
    assert sum(spent.granted for spent in at_once([partial(spend, ANA, Budget.REQUESTS, wanted=1)] * 16)) == 3


@pytest.mark.django_db(transaction=True)
def test_a_caller_does_not_wait_for_another_one() -> None:
    with ThreadPoolExecutor(1) as threads, transaction.atomic():
        spend(ANA, Budget.REQUESTS, wanted=1)
        assert begin(threads, partial(spend, BOB, Budget.REQUESTS, wanted=1)).result(5).granted == 1


def test_a_budget_costs_one_statement_and_no_write_ahead_log() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'forecasting_spending'")
        assert cursor.fetchone() == ("u",)


def test_ended_periods_are_forgotten() -> None:
    granted(ANA, times=1)
    granted(BOB, times=1, budget=Budget.NEW_SYMBOLS)
    Spending.objects.filter(caller="address:203.0.113.9").update(ends_at=Now() - timedelta(seconds=1))
    assert forget_ended() == 1
    assert Spending.objects.get().caller == "address:198.51.100.7"


# New symbols


def test_as_many_new_symbols_as_fit_are_admitted_in_their_order() -> None:
    refused = NewSymbols(ANA, of="ABCDE")(["A", "B", "C", "D", "E"])
    assert dict(refused) == dict.fromkeys("DE", "your address may ask for 3 new symbols a day; try again in 24 h")


def test_no_new_symbols_cost_nothing() -> None:
    assert NewSymbols(ANA, of="A")([]) == {}
    assert not Spending.objects.exists()


def test_a_request_whose_symbols_are_all_refused_is_refused() -> None:
    NewSymbols(ANA, of="ABC")(["A", "B", "C"])
    with pytest.raises(OverBudgetError, match="3 new symbols a day"):
        NewSymbols(ANA, of="DE")(["D", "E"])


def test_a_request_with_a_known_symbol_is_answered() -> None:
    NewSymbols(ANA, of="ABC")(["A", "B", "C"])
    assert [*NewSymbols(ANA, of=["KNOWN", "D"])(["D"])] == ["D"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "1 s"), (41.2, "42 s"), (100, "100 s"), (101, "2 min"), (3600, "60 min"), (6001, "2 h"), (86_400, "24 h")],
)
def test_waits_are_rounded_up(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
