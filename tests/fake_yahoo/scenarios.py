"""Scenarios: Yahoo's correct answer, and its many faults."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from tests.fake_yahoo.server import (
    Answer,
    FakeYahoo,
    Request,
    Scenario,
    error,
    listing_of,
    meta,
    no_series,
    no_such_symbol,
    results,
    timestamp,
)


def known(fake: FakeYahoo, request: Request) -> Answer:
    """The symbol's bars."""
    return results(fake.chart(request))


def last_traded(moment: datetime) -> Scenario:
    """The symbol's bars, with the time of the last trade."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        chart = fake.chart(request)
        return results(chart | {"meta": chart["meta"] | {"regularMarketTime": int(moment.timestamp())}})

    return answer


def unknown(fake: FakeYahoo, request: Request) -> Answer:
    """The symbol does not exist."""
    return no_such_symbol()


def rate_limited(fake: FakeYahoo, request: Request) -> Answer:
    """Too many requests."""
    return Answer(429, b"Edge: Too Many Requests", "text/html")


def broken(fake: FakeYahoo, request: Request) -> Answer:
    """A server error."""
    return Answer(500, b"<html><body>Internal Server Error</body></html>", "text/html")


def html_page(fake: FakeYahoo, request: Request) -> Answer:
    """An HTML page, as from a captive portal or during maintenance."""
    return Answer(200, b"<!DOCTYPE html><html><body>Welcome</body></html>", "text/html")


def html_not_found(fake: FakeYahoo, request: Request) -> Answer:
    """A 404 without information about the symbol."""
    return Answer(404, b"<html><body>Not Found</body></html>", "text/html")


def truncated(fake: FakeYahoo, request: Request) -> Answer:
    """Truncated JSON."""
    whole = known(fake, request)
    return Answer(200, whole.body[: len(whole.body) // 2])


def slow(fake: FakeYahoo, request: Request) -> Answer:
    """No answer until the fake closes."""
    fake.closing.wait()
    return Answer(503, b"", "text/plain")


def missing_rows(fake: FakeYahoo, request: Request) -> Answer:
    """Every second row is null."""
    result = fake.chart(request)
    return results(_with_nulls(result, range(1, len(result["timestamp"]), 2)))


def only_missing_rows(fake: FakeYahoo, request: Request) -> Answer:
    """Every row is null."""
    result = fake.chart(request)
    return results(_with_nulls(result, range(len(result["timestamp"]))))


def no_rows(fake: FakeYahoo, request: Request) -> Answer:
    """Yahoo knows the symbol, but the range contains no session."""
    return results({"meta": meta(request.symbol, listing_of(request.symbol))} | no_series())


def unfinished_bar(day: date) -> Scenario:
    """The symbol's bars and then one of `day`, whose session has not closed; its close is 99."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        result = fake.chart(request)
        result["timestamp"].append(timestamp(day, listing_of(request.symbol)))
        for series in _series_of(result):
            series.append(99)
        return results(result)

    return answer


def failure(status: int, *, code: str, description: str) -> Scenario:
    """An error in Yahoo's format."""
    return lambda fake, request: error(status, code=code, description=description)


def replayed(body: bytes, *, status: int = 200) -> Scenario:
    """A recorded answer."""
    return lambda fake, request: Answer(status, body)


def giant(fake: FakeYahoo, request: Request) -> Answer:
    """An endless answer, sent as fast as it is read."""

    def endless() -> Iterator[bytes]:
        while not fake.closing.is_set():
            yield b" " * 65_536

    return Answer(200, b"", stream=endless())


def trickle(fake: FakeYahoo, request: Request) -> Answer:
    """The correct answer at one byte per 50 ms, which would take minutes."""

    def drops() -> Iterator[bytes]:
        for byte in known(fake, request).body:
            yield bytes([byte])
            if fake.closing.wait(0.05):
                return

    return Answer(200, b"", stream=drops())


def backwards(fake: FakeYahoo, request: Request) -> Answer:
    """The newest session first."""
    result = fake.chart(request)
    for series in (result["timestamp"], *_series_of(result)):
        series.reverse()
    return results(result)


def doubled(fake: FakeYahoo, request: Request) -> Answer:
    """Every session twice."""
    result = fake.chart(request)
    for series in (result["timestamp"], *_series_of(result)):
        series += series
    return results(result)


def renamed(to: str) -> Scenario:
    """The symbol's bars, under another symbol."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        result = fake.chart(request)
        result["meta"]["symbol"] = to
        return results(result)

    return answer


def listed_at(name: str) -> Scenario:
    """The symbol's bars, with the exchange that Yahoo calls `name`."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        result = fake.chart(request)
        result["meta"]["exchangeName"] = name
        return results(result)

    return answer


def in_pounds(fake: FakeYahoo, request: Request) -> Answer:
    """All prices divided by a hundred, with an unchanged unit."""
    result = fake.chart(request)
    *_, volumes = quote = list(result["indicators"]["quote"][0].values())
    for series in (*quote, result["indicators"]["adjclose"][0]["adjclose"]):
        if series is not volumes:
            series[:] = [value / 100 for value in series]
    return results(result)


def without(*days: date) -> Scenario:
    """The symbol's bars, null on these days."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        result = fake.chart(request)
        missing = {timestamp(day, listing_of(request.symbol)) for day in days}
        for row, moment in enumerate(result.get("timestamp", [])):
            if moment in missing:
                for series in _series_of(result):
                    series[row] = None
        return results(result)

    return answer


def only_at_first(trouble: Scenario, times: int = 1) -> Scenario:
    """The fault for this many requests, then the symbol's bars."""

    def answer(fake: FakeYahoo, request: Request) -> Answer:
        return (trouble if len(fake.charts(request.symbol)) <= times else known)(fake, request)

    return answer


def _series_of(result: dict[str, Any]) -> list[list[Any]]:
    return [*result["indicators"]["quote"][0].values(), result["indicators"]["adjclose"][0]["adjclose"]]


def _with_nulls(result: dict[str, Any], rows: range) -> dict[str, Any]:
    for series in _series_of(result):
        for row in rows:
            series[row] = None
    return result
