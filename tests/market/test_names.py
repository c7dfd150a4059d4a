"""Names that are no symbols: who is asked about them and when, what is remembered, and what a later answer changes."""

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from pytest_django import Settings

from forecasting import market
from forecasting.market import NoSymbol, upstream
from forecasting.models import Finding, PriceBar, RequestedName, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.models.upstream import BreakerState
from forecasting.prices.sources import UnknownSymbolError
from tests import fake_yahoo
from tests.factories import make_upstream
from tests.fake_yahoo import FakeYahoo
from tests.market.histories import HISTORY, NOW, assert_stored, write
from tests.racing import at_once
from tests.task_queue import queued_tasks

pytestmark = pytest.mark.django_db

LOOK_UP = "forecasting.background.tasks.look_up_names"
UNKNOWN = NoSymbol("Yahoo Finance has no such symbol; check its spelling and exchange suffix")
AWAITED = NoSymbol()


def look_up(
    *names: str, after: timedelta = timedelta(0), budget_s: float = 5, admit: market.Admit = market.admit_all
) -> list[NoSymbol]:
    """What came of these names, in their order."""
    found = market.look_up(names, now=NOW + after, budget_s=budget_s, admit=admit)
    return [found[name] for name in names]


def rows() -> dict[str, str]:
    """Each remembered name with its reason."""
    return dict(RequestedName.objects.values_list("ticker", "reason"))


# A request


def test_a_name_that_the_source_knows_becomes_a_symbol_with_its_bars(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY
    look_up("AAA")
    symbol = Symbol.objects.get()
    assert_stored(symbol, HISTORY)
    assert (symbol.ticker, symbol.exchange, symbol.currency, symbol.upstream_state) == ("AAA", "XNYS", "USD", UpstreamState.OK)
    assert rows() == {}


def test_a_name_whose_prices_the_gate_refuses_becomes_a_symbol_with_the_reason(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY.assign(close=-1.0)
    look_up("AAA")
    assert Symbol.objects.get().upstream_state == UpstreamState.BAD_DATA
    assert Finding.objects.refused().exists()
    assert not PriceBar.objects.exists()


def test_a_name_that_the_source_does_not_know_is_remembered_and_not_asked_for_again(yahoo: FakeYahoo) -> None:
    assert look_up("NOPE") == [UNKNOWN]
    asked = len(yahoo.charts("NOPE"))
    assert look_up("NOPE", after=timedelta(hours=23)) == [UNKNOWN]
    assert len(yahoo.charts("NOPE")) == asked
    assert not Symbol.objects.exists()


def test_it_is_asked_for_again_after_a_day(yahoo: FakeYahoo) -> None:
    look_up("AAA")
    yahoo.bars["AAA"] = HISTORY
    look_up("AAA", after=timedelta(days=1))
    assert Symbol.objects.get().ticker == "AAA"


def test_an_answer_of_another_source_does_not_count(yahoo: FakeYahoo, folder: Path, settings: Settings) -> None:
    assert "no file for AAA" in look_up("AAA")[0].reason
    settings.PRICE_SOURCE = "yahoo"
    assert look_up("AAA") == [UNKNOWN]


def test_a_name_without_an_answer_in_time_waits_and_a_task_will_look_it_up(yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.slow
    assert look_up("AAA", budget_s=0.2) == [AWAITED]
    assert rows() == {"AAA": ""}
    assert not Symbol.objects.exists()
    assert queued_tasks("short") == [LOOK_UP]


def test_the_requests_after_it_neither_ask_nor_enqueue(yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.slow
    look_up("AAA", budget_s=0.2)
    asked = len(yahoo.charts("AAA"))
    assert look_up("AAA") == [AWAITED]
    assert len(yahoo.charts("AAA")) == asked
    assert len(queued_tasks("short")) == 1


def test_further_names_without_an_answer_enqueue_no_further_tasks(yahoo: FakeYahoo) -> None:
    for number in range(3):
        look_up(f"NEW{number}", budget_s=0)
    assert rows() == {"NEW0": "", "NEW1": "", "NEW2": ""}
    assert queued_tasks("short") == [LOOK_UP]


def test_a_paused_source_is_not_asked_and_not_waited_for(yahoo: FakeYahoo) -> None:
    make_upstream(state=BreakerState.OPEN, reason="Yahoo Finance refuses more requests for now")
    assert look_up("AAA", "BBB", budget_s=60) == [AWAITED, AWAITED]
    assert yahoo.requests == []


@pytest.mark.parametrize("scenario", [fake_yahoo.broken, fake_yahoo.rate_limited, fake_yahoo.html_page])
def test_a_failure_of_the_source_says_nothing_about_the_name(yahoo: FakeYahoo, scenario: fake_yahoo.Scenario) -> None:
    yahoo.scenarios["AAA"] = scenario
    assert look_up("AAA") == [AWAITED]
    assert not Symbol.objects.exists()


def test_a_file_that_is_new_is_found_at_once(folder: Path) -> None:
    assert "no file for AAA" in look_up("AAA")[0].reason
    write(folder)
    look_up("AAA")
    assert_stored(Symbol.objects.get(), HISTORY)


@pytest.mark.django_db(transaction=True)
def test_of_concurrent_requests_one_asks_and_all_get_its_answer(yahoo: FakeYahoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_turn", threading.Semaphore(6))  # as if each were in a process of its own
    yahoo.bars["AAA"] = HISTORY
    answers = at_once([partial(look_up, "AAA", "NOPE")] * 6)
    assert {answer[1] for answer in answers} == {UNKNOWN}
    assert len(yahoo.charts("AAA")) == 1
    assert Symbol.objects.get().ticker == "AAA"


def test_a_request_does_not_wait_if_another_one_of_its_process_waits_for_a_remote_source(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY
    with upstream.deadline(60):
        assert look_up("AAA") == [AWAITED]
    assert queued_tasks("short") == [LOOK_UP]


# Budgets of callers


class Budget:
    """Admits the first `left` names, and keeps what it was asked."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.asked: list[list[str]] = []

    def __call__(self, names: Sequence[str]) -> Mapping[str, str]:
        self.asked.append([*names])
        return dict.fromkeys(names[self.left :], "2 new symbols a day are allowed")


def test_refused_names_are_neither_asked_for_nor_stored(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY
    refused = NoSymbol("2 new symbols a day are allowed", refused=True)
    assert look_up("CCC", "AAA", "BBB", admit=Budget(2))[2] == refused
    assert rows().keys() == {"CCC"}
    assert Symbol.objects.get().ticker == "AAA"
    assert not yahoo.charts("BBB")


def test_the_budget_is_asked_once_about_new_names_in_their_order(yahoo: FakeYahoo) -> None:
    look_up("NOPE")
    look_up("BBB", "NOPE", "AAA", admit=(budget := Budget(9)))
    assert budget.asked == [["BBB", "AAA"]]


@pytest.mark.usefixtures("yahoo")
def test_the_budget_is_not_asked_about_names_met_before() -> None:
    look_up("NOPE")
    assert look_up("NOPE", admit=(budget := Budget(0))) == [UNKNOWN]
    assert budget.asked == []


# The table


@pytest.mark.usefixtures("yahoo")
def test_the_table_keeps_the_newest_names_up_to_its_limit(settings: Settings) -> None:
    settings.REQUESTED_NAMES_LIMIT = 3
    for number in range(6):
        look_up(f"NEW{number}", budget_s=0)
    assert rows().keys() == {"NEW3", "NEW4", "NEW5"}


@pytest.mark.usefixtures("yahoo")
def test_expired_names_are_deleted_when_others_come() -> None:
    look_up("OLD", budget_s=0)
    look_up("NEW", budget_s=0, after=timedelta(days=1))
    assert rows().keys() == {"NEW"}


# The background


def in_background(*, after: timedelta = timedelta(minutes=1), seconds: float = 10) -> int:
    return market.look_up_awaited(now=NOW + after, seconds=seconds)


def test_the_background_finds_what_a_request_could_not_wait_for(yahoo: FakeYahoo) -> None:
    look_up("AAA", "NOPE", budget_s=0)
    yahoo.bars["AAA"] = HISTORY
    assert in_background() == 2
    assert_stored(Symbol.objects.get(), HISTORY)
    assert look_up("NOPE") == [UNKNOWN]


def test_the_background_ends_if_the_source_refuses(yahoo: FakeYahoo) -> None:
    look_up("AAA", "BBB", budget_s=0)
    yahoo.scenarios["AAA"] = fake_yahoo.rate_limited
    assert in_background() == 0
    assert not yahoo.charts("BBB")
    assert rows() == {"AAA": "", "BBB": ""}


def test_the_background_goes_on_after_a_failure_and_tries_that_name_last_the_next_time(yahoo: FakeYahoo) -> None:
    look_up("AAA", "BBB", budget_s=0)
    yahoo.scenarios["AAA"] = fake_yahoo.broken
    assert in_background() == 1
    look_up("CCC", budget_s=0)
    assert in_background(after=timedelta(minutes=2)) == 1
    assert [request.symbol for request in yahoo.requests if request.symbol][-1] == "AAA"


@pytest.mark.usefixtures("yahoo")
def test_the_background_ends_in_time() -> None:
    look_up("AAA", budget_s=0)
    assert in_background(seconds=-1) == 0


# At a terminal


def test_a_person_asks_again_about_a_name_that_was_unknown(yahoo: FakeYahoo) -> None:
    look_up("AAA")
    yahoo.bars["AAA"] = HISTORY
    assert market.enlist("AAA", now=NOW) == len(HISTORY)
    assert rows() == {}


@pytest.mark.usefixtures("yahoo")
def test_a_person_is_told_that_a_name_is_unknown() -> None:
    with pytest.raises(UnknownSymbolError, match="no such symbol"):
        market.enlist("NOPE", now=NOW)
    assert not Symbol.objects.exists()


def test_a_transient_failure_is_retried_for_a_person(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY
    yahoo.scenarios["AAA"] = fake_yahoo.only_at_first(fake_yahoo.broken)
    assert market.enlist("AAA", now=NOW) == len(HISTORY)
