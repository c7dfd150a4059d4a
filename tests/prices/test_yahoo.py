"""The Yahoo source over real HTTP against a fake server: bars and errors by response."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecasting.prices.calendars import may_be_of
from forecasting.prices.sources import (
    BadDataError,
    PriceHistory,
    PriceSourceError,
    RateLimitedError,
    UnknownSymbolError,
    UpstreamUnavailableError,
)
from forecasting.prices.yahoo import Yahoo
from tests import fake_yahoo
from tests.fake_yahoo import COOKIE, FakeYahoo, Scenario, closed_url, failure, generated_bars, replayed, unfinished_bar

SYMBOL = "PETR4.SA"
FIRST, LAST = date(2023, 1, 2), date(2024, 6, 28)
RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "yahoo_json" / "body"
NOTHING_IN_RANGE = failure(400, code="Bad Request", description="Data doesn't exist for startDate = 1, endDate = 2")


@pytest.fixture
def fake() -> Iterator[FakeYahoo]:
    with FakeYahoo() as fake:
        fake.bars[SYMBOL] = generated_bars(SYMBOL, first=FIRST, last=LAST)
        yield fake


@pytest.fixture
def yahoo(fake: FakeYahoo, tmp_path: Path) -> Yahoo:
    return Yahoo(base_url=fake.url, cache_dir=tmp_path)


def fetched(yahoo: Yahoo, symbol: str = SYMBOL, *, since: date | None = None, through: date = LAST) -> PriceHistory:
    return yahoo.fetch(symbol, since=since, through=through)


@pytest.mark.parametrize("symbol", ["AAPL", "PETR4.SA", "OCDO.L", "CBA.AX", "7267.T", "^BVSP", "M&M.NS", "BRL=X"])
def test_the_whole_history_has_the_sessions_and_prices_of_its_exchange(fake: FakeYahoo, yahoo: Yahoo, symbol: str) -> None:
    fake.bars[symbol] = generated_bars(symbol, first=FIRST, last=LAST)
    pd.testing.assert_frame_equal(fetched(yahoo, symbol).bars, fake.bars[symbol], check_freq=False)


@pytest.mark.parametrize("symbol", ["PETR4.SA", "CBA.AX", "7267.T"])
def test_since_and_through_are_included(fake: FakeYahoo, yahoo: Yahoo, symbol: str) -> None:
    fake.bars[symbol] = generated_bars(symbol, first=FIRST, last=LAST)
    bars = fetched(yahoo, symbol, since=date(2024, 6, 20), through=date(2024, 6, 25)).bars
    assert [bars.index[0], bars.index[-1]] == [pd.Timestamp("2024-06-20"), pd.Timestamp("2024-06-25")]


def test_since_keeps_the_request_short(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fetched(yahoo, since=date(2024, 6, 20))
    asked_from = datetime.fromtimestamp(int(fake.charts(SYMBOL)[0].query["period1"]), tz=UTC).date()
    assert asked_from == date(2024, 6, 19)


def test_a_fetch_asks_for_prices_once(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fetched(yahoo)
    assert len(fake.charts(SYMBOL)) == 1


def test_it_asks_for_its_cookie_once(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fetched(yahoo)
    fetched(yahoo)
    assert [request.path for request in fake.requests].count(COOKIE) == 1


def test_it_does_not_return_an_unfinished_bar(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.scenarios[SYMBOL] = unfinished_bar(date(2024, 7, 1))
    assert fetched(yahoo).bars.index[-1] == pd.Timestamp(LAST)


def test_it_drops_rows_without_prices(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.scenarios[SYMBOL] = fake_yahoo.missing_rows
    pd.testing.assert_frame_equal(fetched(yahoo).bars, fake.bars[SYMBOL].iloc[::2], check_freq=False)


def test_it_adjusts_prices_for_dividends(fake: FakeYahoo, yahoo: Yahoo) -> None:
    bars = fake.bars[SYMBOL]
    fake.bars[SYMBOL] = bars.assign(adj_close=bars["close"] * 0.9)
    expected = bars[["open", "high", "low", "close"]] * 0.9
    pd.testing.assert_frame_equal(fetched(yahoo).bars[list(expected)], expected, check_freq=False)


def test_the_currency_is_what_yahoo_says(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.bars["OCDO.L"] = generated_bars("OCDO.L", first=FIRST, last=LAST)
    assert fetched(yahoo, "OCDO.L").currency == "GBp"


def test_the_exchange_is_what_yahoo_names(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.bars["NVDA"], fake.scenarios["NVDA"] = generated_bars("NVDA", first=FIRST, last=LAST), fake_yahoo.listed_at("NMS")
    assert fetched(yahoo, "NVDA").exchange == "XNAS"


@pytest.mark.parametrize("name", [None, "", 7, {}, "x" * 400, "?"])
def test_there_is_no_exchange_if_yahoos_name_is_unknown(fake: FakeYahoo, yahoo: Yahoo, name: object) -> None:
    altered(fake, exchangeName=name)
    assert fetched(yahoo).exchange == ""


@pytest.mark.parametrize(("said", "found"), [("ETF", "ETF"), ("INDEX", "INDEX"), (None, ""), (7, ""), ("x" * 400, "")])
def test_yahoo_says_what_a_symbol_is(fake: FakeYahoo, yahoo: Yahoo, said: object, found: str) -> None:
    altered(fake, instrumentType=said)
    assert fetched(yahoo).instrument == found


@pytest.mark.parametrize("scenario", [fake_yahoo.no_rows, NOTHING_IN_RANGE])
def test_there_are_no_bars_when_nothing_is_newer(fake: FakeYahoo, yahoo: Yahoo, scenario: Scenario) -> None:
    fake.scenarios[SYMBOL] = scenario
    history = fetched(yahoo, since=date(2024, 6, 29), through=date(2024, 6, 30))
    assert (len(history.bars), history.currency) == (0, "BRL")


def test_a_symbol_is_unknown_when_yahoo_says_so(yahoo: Yahoo) -> None:
    with pytest.raises(UnknownSymbolError, match=r"NOPE3\.SA: Yahoo Finance has no such symbol; check its spelling"):
        fetched(yahoo, "NOPE3.SA")


FAILURES: dict[str, tuple[Scenario, str]] = {
    "server error": (fake_yahoo.broken, "failed with HTTP status 500"),
    "page that is not there": (fake_yahoo.html_not_found, "failed with HTTP status 404"),
    "route that is not there": (replayed(b'{"finance": {"error": {}}}', status=404), "failed with HTTP status 404"),
    "refused": (failure(401, code="Unauthorized", description="Invalid Crumb"), "failed with HTTP status 401"),
    "page": (fake_yahoo.html_page, "returned no data"),
    "half an answer": (fake_yahoo.truncated, "returned no data"),
    "not text": (replayed(b"\xff\xfe"), "returned no data"),
    "null": (replayed(b"null"), "returned no data"),
    "list": (replayed(b"[]"), "returned no data"),
    "no result": (replayed(b'{"chart": {"result": [], "error": null}}'), "returned no data"),
}


@pytest.mark.parametrize(("scenario", "reason"), FAILURES.values(), ids=FAILURES)
def test_a_failure_of_yahoo_does_not_make_the_symbol_unknown(
    fake: FakeYahoo, yahoo: Yahoo, scenario: Scenario, reason: str
) -> None:
    fake.scenarios[SYMBOL] = scenario
    with pytest.raises(UpstreamUnavailableError, match=f"{SYMBOL}: Yahoo Finance {reason}"):
        fetched(yahoo)


def test_it_says_when_yahoo_refuses_more_requests(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.scenarios[SYMBOL] = fake_yahoo.rate_limited
    with pytest.raises(RateLimitedError, match="refuses more requests for now; try again in a few minutes"):
        fetched(yahoo)


def test_it_says_when_yahoo_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnavailableError, match="cannot be reached; check the network"):
        fetched(Yahoo(base_url=closed_url(), cache_dir=tmp_path))


def test_it_does_not_wait_longer_than_its_timeout(fake: FakeYahoo, tmp_path: Path) -> None:
    fake.scenarios = dict.fromkeys([SYMBOL, COOKIE, fake_yahoo.CRUMB, "/consent"], fake_yahoo.slow)
    started = time.monotonic()
    with pytest.raises(UpstreamUnavailableError, match="did not answer in time"):
        fetched(Yahoo(base_url=fake.url, cache_dir=tmp_path, timeout_s=0.3))
    assert time.monotonic() - started < 5


def test_a_hanging_cookie_service_does_not_block_prices(fake: FakeYahoo, tmp_path: Path) -> None:
    fake.scenarios[COOKIE] = fake_yahoo.slow
    assert len(fetched(Yahoo(base_url=fake.url, cache_dir=tmp_path, timeout_s=2)).bars) == len(fake.bars[SYMBOL])


@pytest.mark.parametrize("since", [None, date(2024, 6, 20)])
def test_it_refuses_a_response_without_any_price(fake: FakeYahoo, yahoo: Yahoo, since: date | None) -> None:
    fake.scenarios[SYMBOL] = fake_yahoo.only_missing_rows
    with pytest.raises(BadDataError, match="bars of Yahoo Finance lack prices"):
        fetched(yahoo, since=since)


def test_it_passes_prices_on_as_they_are(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fake.bars[SYMBOL].loc[pd.Timestamp("2024-06-20"), "open"] = -1
    assert fetched(yahoo).bars.loc[pd.Timestamp("2024-06-20"), "open"] == -1


def test_it_refuses_an_answer_of_an_unknown_shape(fake: FakeYahoo, yahoo: Yahoo) -> None:
    request = fake_yahoo.Request(path="", symbol=SYMBOL, query={"period1": "0", "period2": "9999999999"})
    result = fake.chart(request)
    del result["timestamp"]
    fake.scenarios[SYMBOL] = replayed(json.dumps({"chart": {"result": [result], "error": None}}).encode())
    with pytest.raises(BadDataError, match=r"has an unknown format \(KeyError\('timestamp'\)\)"):
        fetched(yahoo)


def altered(fake: FakeYahoo, **metadata: Any) -> dict[str, Any]:
    """The response for the whole history, with other metadata."""
    result = fake.chart(fake_yahoo.Request(path="", symbol=SYMBOL, query={"period1": "0", "period2": "9999999999"}))
    result["meta"] |= metadata
    fake.scenarios[SYMBOL] = replayed(json.dumps({"chart": {"result": [result], "error": None}}).encode())
    return result


def test_it_refuses_dates_that_no_calendar_has(fake: FakeYahoo, yahoo: Yahoo) -> None:
    result = altered(fake)
    result["timestamp"][3] = 10**30
    fake.scenarios[SYMBOL] = replayed(json.dumps({"chart": {"result": [result], "error": None}}).encode())
    with pytest.raises(BadDataError, match="unknown format"):
        fetched(yahoo)


@pytest.mark.parametrize("currency", [None, "", 7, {}, "x" * 400])
def test_it_returns_the_exchanges_currency_if_yahoos_is_invalid(fake: FakeYahoo, yahoo: Yahoo, currency: object) -> None:
    altered(fake, currency=currency)
    assert fetched(yahoo).currency == "BRL"


def test_a_symbol_is_unknown_under_its_old_name(fake: FakeYahoo, yahoo: Yahoo) -> None:
    altered(fake, symbol="PETR9.SA")
    with pytest.raises(UnknownSymbolError, match=r"PETR4\.SA: Yahoo Finance answers with PETR9\.SA instead; use that symbol"):
        fetched(yahoo)


@pytest.mark.parametrize("symbol", [None, "", 7])
def test_an_answer_without_a_symbol_is_for_the_one_that_was_asked_for(fake: FakeYahoo, yahoo: Yahoo, symbol: object) -> None:
    altered(fake, symbol=symbol)
    assert len(fetched(yahoo).bars) == len(fake.bars[SYMBOL])


@pytest.mark.parametrize(
    ("trouble", "reason"), [(fake_yahoo.giant, "response is too large"), (fake_yahoo.trickle, "did not answer in time")]
)
def test_time_and_size_of_a_response_are_limited(fake: FakeYahoo, tmp_path: Path, trouble: Scenario, reason: str) -> None:
    fake.scenarios[SYMBOL] = trouble
    with pytest.raises(UpstreamUnavailableError, match=reason):
        fetched(Yahoo(base_url=fake.url, cache_dir=tmp_path, timeout_s=1 if trouble is fake_yahoo.trickle else 10))


@pytest.mark.parametrize("scenario", [fake_yahoo.unknown, fake_yahoo.broken, fake_yahoo.rate_limited])
def test_a_refusal_costs_one_request(fake: FakeYahoo, yahoo: Yahoo, scenario: Scenario) -> None:
    fake.scenarios[SYMBOL] = scenario
    with pytest.raises(PriceSourceError):
        fetched(yahoo)
    assert len(fake.charts(SYMBOL)) == 1


@pytest.mark.parametrize("scenario", [fake_yahoo.backwards, fake_yahoo.doubled])
def test_order_and_duplicates_of_rows_do_not_matter(fake: FakeYahoo, yahoo: Yahoo, scenario: Scenario) -> None:
    fake.scenarios[SYMBOL] = scenario
    pd.testing.assert_frame_equal(fetched(yahoo).bars, fake.bars[SYMBOL], check_freq=False)


@pytest.mark.parametrize("scenario", [fake_yahoo.unknown, fake_yahoo.broken, fake_yahoo.rate_limited])
def test_it_does_not_cache_failures(fake: FakeYahoo, yahoo: Yahoo, scenario: Scenario) -> None:
    fake.scenarios[SYMBOL] = scenario
    with pytest.raises((UnknownSymbolError, UpstreamUnavailableError, RateLimitedError)):
        fetched(yahoo)
    del fake.scenarios[SYMBOL]
    assert len(fetched(yahoo).bars) == len(fake.bars[SYMBOL])


def test_it_does_not_cache_prices(fake: FakeYahoo, yahoo: Yahoo) -> None:
    fetched(yahoo)
    fake.bars[SYMBOL] = fake.bars[SYMBOL] * 0.5
    pd.testing.assert_frame_equal(fetched(yahoo).bars, fake.bars[SYMBOL], check_freq=False)


def test_threads_and_sources_do_not_get_each_others_answers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        fakes = [stack.enter_context(FakeYahoo()) for _ in range(3)]
        for seed, fake in enumerate(fakes):
            fake.bars = {symbol: generated_bars(symbol, first=FIRST, last=LAST, seed=seed) for symbol in ("AAPL", "7267.T")}
        sources = [Yahoo(base_url=fake.url, cache_dir=tmp_path) for fake in fakes]
        wanted = [(fake, yahoo, symbol) for fake, yahoo in zip(fakes, sources, strict=True) for symbol in fake.bars] * 3
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda want: fetched(want[1], want[2]).bars, wanted))
    for (fake, _, symbol), bars in zip(wanted, found, strict=True):
        pd.testing.assert_frame_equal(bars, fake.bars[symbol], check_freq=False)


def test_an_unknown_symbol_in_one_thread_does_not_affect_another(fake: FakeYahoo, yahoo: Yahoo) -> None:
    def outcome(symbol: str) -> int | None:
        try:
            return len(fetched(yahoo, symbol).bars)
        except UnknownSymbolError:
            return None

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(outcome, [SYMBOL, "NOPE3.SA"] * 8))
    assert outcomes == [len(fake.bars[SYMBOL]), None] * 8


def test_it_writes_nothing(yahoo: Yahoo, tmp_path: Path) -> None:
    fetched(yahoo)
    assert list(tmp_path.iterdir()) == []


def recorded() -> list[Any]:
    """Recorded responses of the real service, if available; they must not become part of the repository."""
    skip = pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded answers beside the checkout")
    files = sorted(file for file in RECORDED.glob("*.json") if "no_timestamp" not in file.name)
    return [pytest.param(file, id=file.stem) for file in files] or [pytest.param(RECORDED, marks=skip)]


@pytest.mark.parametrize("file", recorded())
def test_it_reads_recorded_responses_of_the_real_service(fake: FakeYahoo, yahoo: Yahoo, file: Path) -> None:
    body = file.read_bytes()
    result = json.loads(body)["chart"]["result"][0]
    symbol = result["meta"]["symbol"]
    fake.scenarios[symbol] = replayed(body)
    history = fetched(yahoo, symbol, through=date(2026, 1, 1))
    assert (len(history.bars), history.currency) == (len(result["timestamp"]), result["meta"]["currency"])
    assert may_be_of(history.exchange, pd.DatetimeIndex(history.bars.index))
