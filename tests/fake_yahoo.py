"""A stand-in for Yahoo's chart service over real HTTP, for tests of whatever talks to it through yfinance.

    with FakeYahoo() as fake:
        fake.bars["PETR4.SA"] = generated_bars("PETR4.SA", first=date(2024, 1, 2), last=date(2024, 6, 28))
        fake.scenarios["PETR4.SA"] = rate_limited
        Yahoo(base_url=fake.url, ...).fetch("PETR4.SA", ...)

A scenario is a function from the stand-in and a request to an answer; to add one, write such a function. Without one, a
symbol is answered from `bars`, and a symbol that is not there is unknown.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

CHART = "/v8/finance/chart/"
COOKIE = "/"
CRUMB = "/v1/test/getcrumb"


@dataclass(frozen=True, slots=True)
class Listing:
    """How an exchange appears in an answer."""

    currency: str
    timezone: str
    opens: time


LISTINGS = {
    "": Listing("USD", "America/New_York", time(9, 30)),
    ".SA": Listing("BRL", "America/Sao_Paulo", time(10)),
    ".L": Listing("GBp", "Europe/London", time(8)),
    ".AX": Listing("AUD", "Australia/Sydney", time(10)),
    ".T": Listing("JPY", "Asia/Tokyo", time(9)),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that arrived; `symbol` is empty unless it asked for a chart."""

    path: str
    symbol: str
    query: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


Scenario = Callable[["FakeYahoo", Request], Answer]


class FakeYahoo:
    """The service on a free port of this machine, from entering the `with` statement to leaving it.

    `bars`: symbol -> frame with the columns open, high, low, close, volume and perhaps adj_close, indexed by session,
    prices as traded. `scenarios`: symbol, or path of another route -> how it is answered. `requests`: all that arrived.
    """

    def __init__(self) -> None:
        self.bars: dict[str, pd.DataFrame] = {}
        self.scenarios: dict[str, Scenario] = {COOKIE: cookie, CRUMB: crumb}
        self.requests: list[Request] = []
        self.closing = threading.Event()  # ends the waiting of slow scenarios
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def charts(self, symbol: str) -> list[Request]:
        """The requests for prices of `symbol`, oldest first."""
        return [request for request in self.requests if request.symbol == symbol]

    def answer(self, request: Request) -> Answer:
        """As the scenario of the request's symbol or path says."""
        if scenario := self.scenarios.get(request.symbol or request.path):
            return scenario(self, request)
        if not request.symbol:
            return no_such_route(self, request)
        return (known if request.symbol in self.bars else unknown)(self, request)

    def chart(self, request: Request) -> dict[str, Any]:
        """The symbol's bars in the range asked for, as an element of Yahoo's `result` that scenarios may change."""
        listing = _listing(request.symbol)
        bars = self.bars[request.symbol]
        opens = [_timestamp(day, listing) for day in bars.index]
        first, last = int(request.query["period1"]), int(request.query["period2"])
        bars = bars.assign(timestamp=opens)[[first <= moment < last for moment in opens]]
        return {"meta": _meta(request.symbol, listing)} | (_series(bars) if len(bars) else _no_series())


class _Server(ThreadingHTTPServer):
    def __init__(self, fake: FakeYahoo) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fake = fake


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        symbol = path.removeprefix(CHART) if path.startswith(CHART) else ""
        request = Request(path=path, symbol=symbol, query=dict(parse_qsl(parts.query)))
        self.server.fake.requests.append(request)
        answer = self.server.fake.answer(request)
        with contextlib.suppress(ConnectionError):  # the client has stopped waiting
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        fixed = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
        for name, value in (fixed | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests read `FakeYahoo.requests` instead."""


def generated_bars(symbol: str, *, first: date, last: date, seed: int = 7) -> pd.DataFrame:
    """A random walk on every Monday to Friday, in the shape of the bars contract, that follows from symbol and seed."""
    index = pd.bdate_range(first, last, name="date").as_unit("us")
    rng = np.random.default_rng([seed, crc32(symbol.encode())])
    close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, len(index))))
    opening = close * np.exp(rng.normal(0, 0.01, len(index)))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.01, len(index)))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.01, len(index)))
    volume = rng.integers(100_000, 1_000_000, len(index)).astype(float)
    return pd.DataFrame({"open": opening, "high": high, "low": low, "close": close, "volume": volume}, index=index)


def closed_url() -> str:
    """An address of this machine at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def known(fake: FakeYahoo, request: Request) -> Answer:
    """The symbol's bars."""
    return _results(fake.chart(request))


def unknown(fake: FakeYahoo, request: Request) -> Answer:
    """The symbol does not exist."""
    return failure(404, code="Not Found", description="No data found, symbol may be delisted")(fake, request)


def rate_limited(fake: FakeYahoo, request: Request) -> Answer:
    """Too many requests."""
    return Answer(429, b"Edge: Too Many Requests", "text/html")


def broken(fake: FakeYahoo, request: Request) -> Answer:
    """A server error."""
    return Answer(500, b"<html><body>Internal Server Error</body></html>", "text/html")


def html_page(fake: FakeYahoo, request: Request) -> Answer:
    """A page for people, as captive portals and maintenance windows give."""
    return Answer(200, b"<!DOCTYPE html><html><body>Welcome</body></html>", "text/html")


def html_not_found(fake: FakeYahoo, request: Request) -> Answer:
    """A 404 that says nothing about the symbol."""
    return Answer(404, b"<html><body>Not Found</body></html>", "text/html")


def truncated(fake: FakeYahoo, request: Request) -> Answer:
    """JSON that stops in the middle."""
    whole = known(fake, request)
    return Answer(200, whole.body[: len(whole.body) // 2])


def slow(fake: FakeYahoo, request: Request) -> Answer:
    """No answer before the stand-in closes."""
    fake.closing.wait()
    return Answer(503, b"", "text/plain")


def missing_rows(fake: FakeYahoo, request: Request) -> Answer:
    """Every second row is null."""
    result = fake.chart(request)
    return _results(_with_nulls(result, range(1, len(result["timestamp"]), 2)))


def only_missing_rows(fake: FakeYahoo, request: Request) -> Answer:
    """Every row is null."""
    result = fake.chart(request)
    return _results(_with_nulls(result, range(len(result["timestamp"]))))


def no_rows(fake: FakeYahoo, request: Request) -> Answer:
    """Yahoo knows the symbol, and no session lies in the range."""
    return _results({"meta": _meta(request.symbol, _listing(request.symbol))} | _no_series())


def unfinished_bar(day: date) -> Scenario:
    """The symbol's bars and then one of `day`, whose session has not closed; its close is 99."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        result = fake.chart(request)
        result["timestamp"].append(_timestamp(day, _listing(request.symbol)))
        for series in (*result["indicators"]["quote"][0].values(), result["indicators"]["adjclose"][0]["adjclose"]):
            series.append(99)
        return _results(result)

    return answer


def failure(status: int, *, code: str, description: str) -> Scenario:
    """An error in Yahoo's own words."""
    body = {"chart": {"result": None, "error": {"code": code, "description": description}}}
    return lambda fake, request: Answer(status, json.dumps(body).encode())


def replayed(body: bytes, *, status: int = 200) -> Scenario:
    """A recorded answer."""
    return lambda fake, request: Answer(status, body)


def crumb(fake: FakeYahoo, request: Request) -> Answer:
    """The token that yfinance adds to its requests."""
    return Answer(200, b"crumb", "text/plain")


def cookie(fake: FakeYahoo, request: Request) -> Answer:
    """Nothing but the cookie that yfinance comes for."""
    return Answer(404, b"", "text/html", {"Set-Cookie": "A3=stand-in; Path=/; HttpOnly"})


def no_such_route(fake: FakeYahoo, request: Request) -> Answer:
    """A path that is not Yahoo's."""
    return Answer(404, b"", "text/html")


def _listing(symbol: str) -> Listing:
    _, dot, suffix = symbol.rpartition(".")
    return LISTINGS.get(dot + suffix if dot else "", LISTINGS[""])


def _timestamp(day: date, listing: Listing) -> int:
    """When the session opens, in seconds since 1970."""
    opens = datetime(day.year, day.month, day.day, listing.opens.hour, listing.opens.minute, tzinfo=ZoneInfo(listing.timezone))
    return int(opens.timestamp())


def _meta(symbol: str, listing: Listing) -> dict[str, Any]:
    return {
        "currency": listing.currency,
        "symbol": symbol,
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": listing.timezone,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }


def _series(bars: pd.DataFrame) -> dict[str, Any]:
    """Events are left out: `adj_close` carries their effect."""
    quote = {column: bars[column].tolist() for column in ("open", "high", "low", "close")}
    quote["volume"] = bars["volume"].astype(int).tolist()
    adjusted = bars.get("adj_close", bars["close"]).tolist()
    indicators = {"quote": [quote], "adjclose": [{"adjclose": adjusted}]}
    return {"timestamp": bars["timestamp"].tolist(), "indicators": indicators}


def _no_series() -> dict[str, Any]:
    return {"indicators": {"quote": [{}], "adjclose": [{}]}}


def _with_nulls(result: dict[str, Any], rows: range) -> dict[str, Any]:
    for series in (*result["indicators"]["quote"][0].values(), result["indicators"]["adjclose"][0]["adjclose"]):
        for row in rows:
            series[row] = None
    return result


def _results(result: dict[str, Any]) -> Answer:
    return Answer(200, json.dumps({"chart": {"result": [result], "error": None}}).encode())
