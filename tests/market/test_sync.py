"""Bars in the database: synced from files and HTTP, kept if a source fails, and read back unchanged."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from forecasting import market
from forecasting.models import PriceBar, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.prices.sources import (
    BadDataError,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
    UpstreamUnavailableError,
)
from forecasting.runtime.processes import wait_for
from tests import fake_yahoo
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo
from tests.market.histories import FRIDAY, HISTORY, NOW, WEDNESDAY, WEDNESDAY_EVENING, assert_stored, synced, write
from tests.racing import at_once

pytestmark = pytest.mark.django_db


# Sync


def test_a_first_sync_stores_the_whole_history_as_it_is(folder: Path) -> None:
    write(folder)
    symbol = make_symbol("AAA", currency="")
    assert market.sync(symbol, now=NOW) == len(HISTORY)
    assert_stored(symbol, HISTORY)


def test_a_sync_is_noted_with_the_symbol(folder: Path) -> None:
    symbol = synced(folder)
    symbol.refresh_from_db()
    assert (symbol.upstream_state, symbol.upstream_reason, symbol.currency) == (UpstreamState.OK, "", "USD")
    assert symbol.synced_at == symbol.upstream_checked_at == WEDNESDAY_EVENING


def test_an_increment_only_adds_rows(folder: Path) -> None:
    symbol = synced(folder)
    before = list(PriceBar.objects.of(symbol).values_list("pk", flat=True))
    write(folder)
    assert market.sync(symbol, now=NOW) == 2
    assert list(PriceBar.objects.of(symbol).values_list("pk", flat=True))[:-2] == before
    assert_stored(symbol, HISTORY)


def test_an_unfinished_session_is_not_stored(folder: Path) -> None:
    write(folder)
    symbol = make_symbol("AAA")
    market.sync(symbol, now=NOW.replace(hour=15))
    assert market.bars(symbol).index[-1].date() == date(2024, 6, 27)


@pytest.mark.parametrize("later", [timedelta(), timedelta(days=2)], ids=["same evening", "weekend"])
def test_if_no_session_is_missing_the_source_is_not_asked(folder: Path, later: timedelta) -> None:
    symbol = synced(folder, through=FRIDAY)
    (folder / "AAA.csv").unlink()
    assert market.sync(symbol, now=NOW + later) == 0
    assert symbol.upstream_state == UpstreamState.OK


def test_an_increment_asks_only_for_the_overlap(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY
    symbol = make_symbol("AAA")
    market.sync(symbol, now=WEDNESDAY_EVENING)
    market.sync(symbol, now=NOW)
    asked_from = [datetime.fromtimestamp(int(request.query["period1"]), tz=UTC).date() for request in yahoo.charts("AAA")]
    overlap = HISTORY[: pd.Timestamp(WEDNESDAY)].index[-market.OVERLAP_BARS].date()
    assert asked_from[1:] == [overlap - timedelta(days=1)]


def test_a_source_without_a_newer_bar_is_no_failure(folder: Path) -> None:
    symbol = synced(folder)
    assert market.sync(symbol, now=NOW) == 0
    assert (symbol.upstream_state, symbol.upstream_checked_at) == (UpstreamState.OK, NOW)
    assert_stored(symbol, HISTORY[: pd.Timestamp(WEDNESDAY)])


@pytest.mark.parametrize("factor", [0.5, 0.9995], ids=["split", "dividend"])
def test_a_restated_history_replaces_the_stored_one(folder: Path, factor: float) -> None:
    symbol = synced(folder)
    restated = HISTORY.assign(**{price: factor * HISTORY[price] for price in ("open", "high", "low", "close")})
    write(folder, restated)
    assert market.sync(symbol, now=NOW) == len(HISTORY)
    assert_stored(symbol, restated)


def test_the_rounding_of_adjusted_prices_is_no_restatement(folder: Path) -> None:
    symbol = synced(folder)
    write(folder, HISTORY.assign(high=1.000001 * HISTORY["high"], close=1.000001 * HISTORY["close"]))
    assert market.sync(symbol, now=NOW) == 2


def test_a_session_that_the_source_takes_back_is_a_restatement(folder: Path) -> None:
    symbol = synced(folder)
    corrected = HISTORY.drop(HISTORY.index[-5])
    write(folder, corrected)
    market.sync(symbol, now=NOW)
    assert_stored(symbol, corrected)


@pytest.mark.django_db(transaction=True)
def test_a_replacement_that_fails_halfway_leaves_the_old_history(folder: Path) -> None:
    symbol = synced(folder)
    write(folder, HISTORY.assign(low=HISTORY["low"] / 2, close=HISTORY["low"], open=HISTORY["low"]))
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE forecasting_pricebar ADD CONSTRAINT full_disk CHECK (date < '{FRIDAY}')")
        try:
            with pytest.raises(DatabaseError, match="full_disk"):
                market.sync(symbol, now=NOW)
        finally:
            cursor.execute("ALTER TABLE forecasting_pricebar DROP CONSTRAINT full_disk")
    assert_stored(symbol, HISTORY[: pd.Timestamp(WEDNESDAY)])


@pytest.mark.parametrize(
    "left", [HISTORY[:0], HISTORY[-3:], HISTORY[: pd.Timestamp(WEDNESDAY)][:-1]], ids=["nothing", "its end", "an older copy"]
)
def test_an_answer_that_lost_most_of_the_history_replaces_nothing(folder: Path, left: pd.DataFrame) -> None:
    symbol = synced(folder)
    write(folder, left)
    with pytest.raises(BadDataError, match=r"^AAA: "):
        market.sync(symbol, now=NOW)
    assert_stored(symbol, HISTORY[: pd.Timestamp(WEDNESDAY)])
    symbol.refresh_from_db()
    assert symbol.upstream_state == UpstreamState.BAD_DATA


# Failures


def remove_file(folder: Path) -> None:
    (folder / "AAA.csv").unlink()


def remove_folder(folder: Path) -> None:
    remove_file(folder)
    folder.rmdir()


def spoil_file(folder: Path) -> None:
    write(folder, HISTORY.assign(close=-1.0))


@pytest.mark.parametrize(
    ("happens", "error", "state", "reason"),
    [
        (remove_file, UnknownSymbolError, UpstreamState.UNKNOWN, "no file for AAA"),
        (remove_folder, UpstreamUnavailableError, UpstreamState.UNAVAILABLE, "the price folder cannot be read"),
        (spoil_file, BadDataError, UpstreamState.BAD_DATA, "60 of 60 bars up to 2024-06-28 are wrong, for instance: close is -1"),
    ],
)
def test_a_failing_source_leaves_the_bars_and_its_reason(
    folder: Path, happens: Callable[[Path], None], error: type[PriceSourceError], state: UpstreamState, reason: str
) -> None:
    symbol = synced(folder)
    happens(folder)
    with pytest.raises(error):
        market.sync(symbol, now=NOW)
    symbol.refresh_from_db()
    assert (symbol.upstream_state, symbol.upstream_checked_at, symbol.synced_at) == (state, NOW, WEDNESDAY_EVENING)
    assert reason in symbol.upstream_reason
    assert_stored(symbol, HISTORY[: pd.Timestamp(WEDNESDAY)])


def test_a_source_that_limits_its_rate_is_noted_as_such(yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.rate_limited
    symbol = make_symbol("AAA")
    with pytest.raises(RateLimitedError):
        market.sync(symbol, now=NOW)
    symbol.refresh_from_db()
    assert symbol.upstream_state == UpstreamState.RATE_LIMITED


def test_a_success_clears_the_reason_of_the_failure_before(folder: Path) -> None:
    symbol = synced(folder)
    remove_file(folder)
    with pytest.raises(UnknownSymbolError):
        market.sync(symbol, now=NOW)
    write(folder)
    market.sync(symbol, now=NOW)
    symbol.refresh_from_db()
    assert (symbol.upstream_state, symbol.upstream_reason) == (UpstreamState.OK, "")


@pytest.mark.django_db(transaction=True)
def test_of_two_concurrent_syncs_one_fetches(yahoo: FakeYahoo) -> None:
    key = make_symbol("AAA").pk
    other_waits = threading.Event()

    def answer_when_the_other_waits(fake: FakeYahoo, request: fake_yahoo.Request) -> fake_yahoo.Answer:
        other_waits.wait(10)
        return fake_yahoo.known(fake, request)

    def sync_second() -> int:
        assert wait_for(lambda: bool(yahoo.charts("AAA")), seconds=10, every_s=0.005)
        threading.Timer(0.1, other_waits.set).start()
        return market.sync(Symbol.objects.get(pk=key), now=NOW)

    yahoo.bars["AAA"] = HISTORY
    yahoo.scenarios["AAA"] = answer_when_the_other_waits
    written = at_once([lambda: market.sync(Symbol.objects.get(pk=key), now=NOW), sync_second])
    assert written == [len(HISTORY), 0]
    assert len(yahoo.charts("AAA")) == 1
    assert PriceBar.objects.count() == len(HISTORY)


# Many symbols


def test_a_sync_takes_the_same_queries_however_many_symbols_there_are(folder: Path) -> None:
    def queries_of_a_sync() -> int:
        with CaptureQueriesContext(connection) as queries:
            market.sync(symbol, now=NOW)
        return len(queries)

    counts = []
    for number in range(20):
        symbol = make_symbol(f"AAA{number}")
        write(folder, ticker=symbol.ticker)
        counts.append(queries_of_a_sync())
    assert set(counts) == {counts[0]}
    assert counts[0] <= 12
