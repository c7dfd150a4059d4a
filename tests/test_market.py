"""Bars in the database: synced from real sources (files, HTTP), kept when a source fails, read back as they were."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from django.db import DatabaseError, connection
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting import market
from forecasting.models import PriceBar, Symbol
from forecasting.models.symbols import UpstreamState
from forecasting.pipeline.bars import empty
from forecasting.pipeline.simulation import Simulation
from forecasting.pipeline.sources import (
    BadDataError,
    CsvFolder,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
    UpstreamUnavailableError,
)
from forecasting.pipeline.yahoo import Yahoo
from tests import fake_yahoo
from tests.factories import add_bars, make_symbol
from tests.fake_yahoo import FakeYahoo, generated_bars
from tests.racing import at_once

pytestmark = pytest.mark.django_db

WEDNESDAY, FRIDAY = date(2024, 6, 26), date(2024, 6, 28)
WEDNESDAY_EVENING = datetime(2024, 6, 26, 22, tzinfo=UTC)  # New York has closed
NOW = datetime(2024, 6, 28, 22, tzinfo=UTC)
HISTORY = generated_bars("AAA", first=date(2024, 1, 2), last=FRIDAY)


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """The folder of the CSV source, which is configured."""
    settings.PRICE_SOURCE, settings.PRICE_DIR = "csv", tmp_path / "prices"
    settings.PRICE_DIR.mkdir()
    market.price_source.cache_clear()
    yield settings.PRICE_DIR
    market.price_source.cache_clear()


@pytest.fixture
def yahoo(settings: Settings, tmp_path: Path) -> Iterator[FakeYahoo]:
    """A stand-in for Yahoo, which is the configured source."""
    with FakeYahoo() as fake:
        settings.PRICE_SOURCE, settings.YAHOO_URL, settings.STATE_DIR = "yahoo", fake.url, tmp_path
        market.price_source.cache_clear()
        yield fake
        market.price_source.cache_clear()


def write(folder: Path, bars: pd.DataFrame = HISTORY, *, ticker: str = "AAA") -> Path:
    file = folder / f"{ticker}.csv"
    bars.to_csv(file)
    return file


def synced(folder: Path, *, through: date = WEDNESDAY) -> Symbol:
    """A symbol that was synced on the evening of `through`."""
    write(folder, HISTORY[: pd.Timestamp(through)])
    symbol = make_symbol("AAA")
    market.sync(symbol, now=datetime(through.year, through.month, through.day, 22, tzinfo=UTC))
    return symbol


def assert_stored(symbol: Symbol, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(market.bars(symbol), expected, check_exact=True, check_freq=False)


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
def test_where_no_session_is_missing_the_source_is_not_asked(folder: Path, later: timedelta) -> None:
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
        (spoil_file, BadDataError, UpstreamState.BAD_DATA, "close is -1"),
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
def test_two_syncs_at_once_write_once(yahoo: FakeYahoo) -> None:
    both_asked = threading.Barrier(2)

    def answered_together(fake: FakeYahoo, request: fake_yahoo.Request) -> fake_yahoo.Answer:
        both_asked.wait(10)
        return fake_yahoo.known(fake, request)

    yahoo.bars["AAA"] = HISTORY
    yahoo.scenarios["AAA"] = answered_together
    key = make_symbol("AAA").pk
    written = at_once([lambda: market.sync(Symbol.objects.get(pk=key), now=NOW)] * 2)
    assert sorted(written) == [0, len(HISTORY)]
    assert PriceBar.objects.count() == len(HISTORY)


# Refresh


def test_a_refresh_brings_every_symbol_up_to_date_and_notes_each_failure(folder: Path) -> None:
    good, unknown = make_symbol("AAA"), make_symbol("BBB")
    write(folder)
    assert market.refresh([good, unknown], now=NOW, budget_s=10) == []
    assert_stored(good, HISTORY)
    unknown.refresh_from_db()
    assert unknown.upstream_state == UpstreamState.UNKNOWN


def test_a_refresh_does_not_wait_longer_than_its_budget(yahoo: FakeYahoo) -> None:
    yahoo.bars["AAA"] = HISTORY
    yahoo.scenarios["BBB"] = fake_yahoo.slow
    quick, slow = make_symbol("AAA"), make_symbol("BBB")
    started = time.monotonic()
    assert market.refresh([quick, slow], now=NOW, budget_s=1.0) == [slow]
    assert time.monotonic() - started < 3
    assert_stored(quick, HISTORY)


def test_a_symbol_that_was_late_is_not_asked_for_again_by_the_next_request(yahoo: FakeYahoo) -> None:
    yahoo.scenarios["AAA"] = fake_yahoo.slow
    make_symbol("AAA")
    assert market.refresh(list(Symbol.objects.all()), now=NOW, budget_s=0.1)
    assert market.refresh(list(Symbol.objects.all()), now=NOW + timedelta(minutes=1), budget_s=0.1) == []


@pytest.mark.parametrize(("after", "rows"), [(timedelta(minutes=9, seconds=59), 0), (timedelta(minutes=10), len(HISTORY))])
def test_the_source_is_asked_about_a_symbol_every_ten_minutes_at_most(folder: Path, after: timedelta, rows: int) -> None:
    write(folder)
    symbol = make_symbol("AAA", upstream_checked_at=NOW - after)
    market.refresh([symbol], now=NOW, budget_s=10)
    assert len(market.bars(symbol)) == rows


def test_a_sync_is_not_held_back_by_an_earlier_check(folder: Path) -> None:
    write(folder)
    symbol = make_symbol("AAA", upstream_checked_at=NOW)
    assert market.sync(symbol, now=NOW) == len(HISTORY)


@pytest.mark.parametrize("count", [1, 7])
def test_a_refresh_of_what_is_up_to_date_is_one_query(django_assert_num_queries: DjangoAssertNumQueries, count: int) -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(count)]
    for symbol in symbols:
        add_bars(symbol, count=3, end=FRIDAY)
    with django_assert_num_queries(1):
        assert market.refresh(symbols, now=NOW, budget_s=0) == []


# Reads


def test_recent_bars_are_the_last_ones_of_each_symbol(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(5)]
    for symbol in symbols[1:]:
        add_bars(symbol, count=20, seed=symbol.pk)
    with django_assert_num_queries(1):
        recent = market.recent_bars(symbols, count=7)
    pd.testing.assert_frame_equal(recent[symbols[0].pk], empty())
    for symbol in symbols[1:]:
        pd.testing.assert_frame_equal(recent[symbol.pk], market.bars(symbol)[-7:], check_exact=True)


def test_recent_bars_of_no_symbol_are_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        assert market.recent_bars([], count=7) == {}


def test_bars_of_a_symbol_without_any_are_an_empty_frame_of_the_contract() -> None:
    pd.testing.assert_frame_equal(market.bars(make_symbol()), empty())


@pytest.mark.parametrize(
    ("last_bar", "now", "stale"),
    [
        (None, NOW, True),
        (date(2024, 6, 27), NOW, True),
        (FRIDAY, NOW, False),
        (date(2024, 6, 27), NOW.replace(hour=15), False),
        (FRIDAY, NOW + timedelta(days=2), False),
        (FRIDAY, NOW + timedelta(days=3), True),
    ],
    ids=["no bar", "a session behind", "up to date", "session under way", "weekend", "after the weekend"],
)
def test_bars_are_stale_when_a_completed_session_is_missing(last_bar: date | None, now: datetime, stale: bool) -> None:
    assert market.is_stale(Symbol(ticker="AAA", exchange="XNYS"), last_bar, now=now) is stale


@pytest.mark.parametrize(("name", "kind"), [("csv", CsvFolder), ("sample", Simulation), ("yahoo", Yahoo)])
def test_the_source_is_the_configured_one(settings: Settings, tmp_path: Path, name: str, kind: type) -> None:
    settings.PRICE_SOURCE, settings.STATE_DIR = name, tmp_path
    market.price_source.cache_clear()
    assert isinstance(market.price_source(), kind)
    market.price_source.cache_clear()
