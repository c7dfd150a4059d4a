"""`manage.py sync`, `manage.py upstream` and `manage.py symbols`."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from time_machine import TimeMachineFixture

from forecasting.models import PriceBar, Symbol, Upstream
from forecasting.models.symbols import UpstreamState
from forecasting.models.upstream import BreakerState
from tests import fake_yahoo
from tests.factories import add_bars, make_symbol, make_upstream
from tests.fake_yahoo import FakeYahoo
from tests.market.histories import FRIDAY, HISTORY, NOW
from tests.small_model import publish_model

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _friday_evening(time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(NOW)


def said(name: str, *arguments: str) -> str:
    """The output of the command."""
    output = StringIO()
    call_command(name, *arguments, stdout=output, stderr=output)
    return output.getvalue()


def test_it_syncs_symbols_that_nobody_asked_for_yet(yahoo: FakeYahoo) -> None:
    yahoo.bars = {"AAA": HISTORY, "BBB": HISTORY}
    assert said("sync", "aaa", "BBB").splitlines() == [
        f"AAA: {len(HISTORY)} bars written, newest bar 2024-06-28",
        f"BBB: {len(HISTORY)} bars written, newest bar 2024-06-28",
    ]
    assert said("sync", "AAA") == "AAA: no newer bars, newest bar 2024-06-28\n"


def test_it_asks_again_about_a_symbol_that_the_source_did_not_know(yahoo: FakeYahoo) -> None:
    symbol = make_symbol("AAA", upstream_state=UpstreamState.UNKNOWN, unknown_until=NOW + timedelta(days=7))
    yahoo.bars["AAA"] = HISTORY
    said("sync", "AAA")
    assert PriceBar.objects.of(symbol).exists()


def test_it_names_the_symbols_that_failed_and_goes_on(yahoo: FakeYahoo) -> None:
    yahoo.bars["BBB"] = HISTORY
    with pytest.raises(CommandError, match=r"^Not synced: NOPE\.$"):
        said("sync", "NOPE", "BBB")
    assert PriceBar.objects.filter(symbol__ticker="BBB").exists()


def test_it_stops_where_the_source_refuses(yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.rate_limited
    with pytest.raises(CommandError, match=r"^Not synced: AAA, BBB\.$"):
        said("sync", "AAA", "BBB")
    assert [request.symbol for request in yahoo.requests if request.symbol] == ["AAA"]


@pytest.mark.parametrize("symbol", ["US0378331005", "../AAA"])
def test_it_refuses_what_cannot_be_a_symbol(yahoo: FakeYahoo, symbol: str) -> None:
    with pytest.raises(CommandError):
        said("sync", symbol)
    assert not Symbol.objects.exists()


def test_upstream_shows_a_source_that_was_never_asked(yahoo: FakeYahoo) -> None:
    assert said("upstream") == "yahoo: never asked yet\n"


def test_upstream_shows_why_and_until_when_the_source_is_left_alone(yahoo: FakeYahoo) -> None:
    make_symbol("AAA", upstream_state=UpstreamState.RATE_LIMITED)
    make_upstream(state=BreakerState.OPEN, reason="Yahoo Finance refuses more requests for now", failures=1)
    Upstream.objects.update(open_until=datetime(2024, 6, 28, 22, 14, tzinfo=UTC), last_success_at=NOW)
    text = said("upstream")
    assert text.startswith("yahoo: paused\n  until: 2024-06-28 22:14:00 UTC\n")
    assert "  reason: Yahoo Finance refuses more requests for now\n  last success: 2024-06-28 22:00:00 UTC\n" in text
    assert text.endswith("  symbols rate limited: 1\n")
    assert yahoo.requests == []


def test_upstream_shows_a_source_that_answers(yahoo: FakeYahoo) -> None:
    make_upstream(last_success_at=timezone.now())
    assert said("upstream").startswith("yahoo: available\n  last success: 2024-06-28 22:00:0")


def test_files_have_no_upstream(folder: object) -> None:
    assert said("upstream") == "Prices come from PRICE_SOURCE=csv, a local source that is never paused.\n"


def test_a_symbol_out_of_service_is_not_synced(yahoo: FakeYahoo) -> None:
    make_symbol("AAA", removed_at=NOW)
    with pytest.raises(CommandError, match=r"^Not synced: AAA\.$"):
        said("sync", "AAA")
    assert yahoo.requests == []


def test_symbols_lists_them() -> None:
    add_bars(make_symbol("AAA", upstream_state=UpstreamState.OK), end=FRIDAY)
    make_symbol("BBB", removed_at=NOW)
    assert said("symbols", "list").splitlines() == [
        "AAA: newest bar 2024-06-28, ok",
        "BBB: no bars, never asked, out of service since 2024-06-28",
    ]


def test_symbols_removes_and_restores() -> None:
    make_symbol("AAA")
    assert said("symbols", "remove", "aaa") == "Out of service: AAA.\n"
    assert Symbol.objects.get().removed_at
    assert said("symbols", "restore", "AAA") == "In service: AAA.\n"
    assert Symbol.objects.get().removed_at is None


def test_symbols_removes_none_if_one_does_not_exist() -> None:
    make_symbol("AAA")
    with pytest.raises(CommandError, match=r"^No such symbol here: BBB\.$"):
        said("symbols", "remove", "AAA", "BBB")
    assert Symbol.objects.in_service().exists()


def test_symbols_forgets_those_that_never_had_bars() -> None:
    make_symbol("AAA")
    assert said("symbols", "forget") == "Forgotten: AAA.\n"
    assert said("symbols", "forget") == "Forgotten: none.\n"


def test_symbols_are_paused_and_resumed() -> None:
    make_symbol("AAA")
    assert said("symbols", "pause", "aaa") == "Automatic training paused: AAA.\n"
    assert "retraining paused" in said("symbols", "list")
    assert said("symbols", "resume", "AAA") == "Trained automatically: AAA.\n"


def test_a_version_is_pinned_and_unpinned() -> None:
    publish_model(make_symbol("AAA"))
    assert said("symbols", "pin", "AAA", "1") == "AAA v1 is active and pinned.\n"
    assert "version 1 pinned" in said("symbols", "list")
    assert said("symbols", "unpin", "AAA") == "The next training may replace the version of: AAA.\n"


def test_a_version_that_is_not_there_is_not_pinned() -> None:
    make_symbol("AAA")
    with pytest.raises(CommandError, match="AAA has no version 3"):
        said("symbols", "pin", "AAA", "3")
