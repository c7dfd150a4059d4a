"""The server: records requests, and answers each one by its scenario."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo

import pandas as pd

CHART = "/v8/finance/chart/"
COOKIE = "/"
CRUMB = "/v1/test/getcrumb"


@dataclass(frozen=True, slots=True)
class Listing:
    """The form of an exchange in an answer."""

    currency: str
    timezone: str
    opens: time
    exchange: str = ""


LISTINGS = {
    "": Listing("USD", "America/New_York", time(9, 30), "NYQ"),
    ".SA": Listing("BRL", "America/Sao_Paulo", time(10), "SAO"),
    ".L": Listing("GBp", "Europe/London", time(8), "LSE"),
    ".AX": Listing("AUD", "Australia/Sydney", time(10), "ASX"),
    ".T": Listing("JPY", "Asia/Tokyo", time(9), "JPX"),
}
INDEX = Listing("USD", "America/New_York", time(9, 30))
COIN, PAIR = Listing("USD", "UTC", time(0), "CCC"), Listing("USD", "Europe/London", time(0), "CCY")


@dataclass(frozen=True, slots=True)
class Request:
    """A received request; `symbol` is empty unless it is for a chart."""

    path: str
    symbol: str
    query: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer. A `stream` follows the body, without a Content-Length."""

    status: int
    body: bytes
    content_type: str = "application/json"
    stream: Iterator[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)


Scenario = Callable[["FakeYahoo", Request], Answer]


class FakeYahoo:
    """The service on a free port of this machine, from entering the `with` statement to leaving it.

    `bars`: symbol -> frame with the columns open, high, low, close, volume and perhaps adj_close, indexed by session,
    prices as traded. `scenarios`: symbol, or path of another route -> how it is answered. `requests`: all that arrived.
    """

    def __init__(self) -> None:
        self.bars: dict[str, pd.DataFrame] = {}
        self.scenarios: dict[str, Scenario] = {}
        self.requests: list[Request] = []
        self.closing = threading.Event()  # ends the waiting of slow scenarios
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """The address of the server."""
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
        """Answers by the scenario of the request's symbol or path."""
        if scenario := self.scenarios.get(request.symbol or request.path):
            return scenario(self, request)
        if not request.symbol:
            return side_route(request)
        return results(self.chart(request)) if request.symbol in self.bars else no_such_symbol()

    def chart(self, request: Request) -> dict[str, Any]:
        """The symbol's bars in the requested range, as an element of Yahoo's `result` that scenarios can change."""
        listing = listing_of(request.symbol)
        bars = self.bars[request.symbol]
        opens = [timestamp(day, listing) for day in bars.index]
        first, last = int(request.query["period1"]), int(request.query["period2"])
        bars = bars.assign(timestamp=opens)[[first <= moment < last for moment in opens]]
        return {"meta": meta(request.symbol, listing)} | (_series(bars) if len(bars) else no_series())


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
        fixed = {"Content-Type": answer.content_type}
        if answer.stream is None:
            fixed["Content-Length"] = str(len(answer.body))
        for name, value in (fixed | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        for piece in answer.stream or ():
            self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests read `FakeYahoo.requests` instead."""


def listing_of(symbol: str) -> Listing:
    """The exchange of the symbol's suffix."""
    _, dot, suffix = symbol.rpartition(".")
    if symbol.startswith("^"):
        return INDEX
    if symbol.endswith("=X") or "-" in symbol:
        return PAIR if "=" in symbol else COIN
    return LISTINGS.get(dot + suffix if dot else "", LISTINGS[""])


@cache
def timestamp(day: date, listing: Listing) -> int:
    """When the session opens, in seconds since 1970."""
    opens = datetime(day.year, day.month, day.day, listing.opens.hour, listing.opens.minute, tzinfo=ZoneInfo(listing.timezone))
    return int(opens.timestamp())


def meta(symbol: str, listing: Listing) -> dict[str, Any]:
    """The metadata of a symbol in an answer."""
    return {
        "currency": listing.currency,
        "symbol": symbol,
        "exchangeName": listing.exchange,
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": listing.timezone,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }


def _series(bars: pd.DataFrame) -> dict[str, Any]:
    """Events are omitted, because `adj_close` contains their effect."""
    quote = {column: bars[column].tolist() for column in ("open", "high", "low", "close")}
    quote["volume"] = bars["volume"].astype(int).tolist()
    adjusted = bars.get("adj_close", bars["close"]).tolist()
    indicators = {"quote": [quote], "adjclose": [{"adjclose": adjusted}]}
    return {"timestamp": bars["timestamp"].tolist(), "indicators": indicators}


def no_series() -> dict[str, Any]:
    """The fields of an answer for a range without sessions."""
    return {"indicators": {"quote": [{}], "adjclose": [{}]}}


def results(result: dict[str, Any]) -> Answer:
    """One element of Yahoo's `result` as an answer."""
    return Answer(200, json.dumps({"chart": {"result": [result], "error": None}}).encode())


def no_such_symbol() -> Answer:
    """An error body in Yahoo's format."""
    return error(404, code="Not Found", description="No data found, symbol may be delisted")


def error(status: int, *, code: str, description: str) -> Answer:
    """An error answer in Yahoo's format."""
    return Answer(status, json.dumps({"chart": {"result": None, "error": {"code": code, "description": description}}}).encode())


def side_route(request: Request) -> Answer:
    """The other requests of yfinance: a cookie and its token."""
    if request.path == COOKIE:
        return Answer(404, b"", "text/html", headers={"Set-Cookie": "A3=stand-in; Path=/; HttpOnly"})
    return Answer(200, b"crumb", "text/plain") if request.path == CRUMB else Answer(404, b"", "text/html")


def closed_url() -> str:
    """An address of this machine without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"
