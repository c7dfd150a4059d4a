"""Attacks by requests that are not what they seem: headers, sizes, encodings, nesting."""

import json
import time

from tests.attack.target import KNOWN, Answer, Target, each, over_budget

AT_ONCE = 8
FORGER, PROBER = "127.6.6.8", "127.6.6.9"
WITHOUT_EFFECT = {
    "SCRIPT_NAME": "/x",
    "Script-Name": "/x",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "1",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    "X-Original-URL": "/admin/",
    "X-Rewrite-URL": "/admin/",
    "X-HTTP-Method-Override": "DELETE",
    "X-Method-Override": "PUT",
    "Remote-User": "root",
    "REMOTE_USER": "root",
}
ASKED = ("GET", "/models/symbols?page_size=1"), ("GET", "/models/webhooks"), ("GET", "/admin/"), ("GET", "/models/retrain")
HOST = b"Host: localhost\r\n"
HEAD = b"POST /models/predict HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
GOOD = json.dumps({"symbols": list(KNOWN)}).encode()
MEBIBYTE = 2**20
DEPTH = 1500

REFUSED = {  # the request, and the statuses that refuse it
    "a foreign Host": (b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", {400}),
    "no Host": (b"GET /models/symbols HTTP/1.1\r\nHost: \r\n\r\n", {400}),
    "two lines of Host": (b"GET /models/symbols HTTP/1.1\r\nHost: a.example\r\nHost: localhost\r\n\r\n", {400}),
    "a NUL in a header": (b"GET /models/symbols HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", {400}),
    "a NUL in the path": (b"GET /models/symbols/%00 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    "a NUL in the query": (b"GET /models/symbols?symbol=%00 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "20 kB of headers": (b"GET /models/symbols HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000 + b"\r\n\r\n", {431}),
    "20 kB of URL": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", {414}),
    "a header with a blank in its name": (b"GET /models/symbols HTTP/1.1\r\n" + HOST + b"A b: c\r\n\r\n", {400}),
    "a length and chunks": (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "a length below zero": (HEAD + b"Content-Length: -1\r\n\r\n", {400}),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}", {400}),
}
BODIES = {
    "a body of 1 MiB": (HEAD + b"Content-Length: %d\r\n\r\n" % MEBIBYTE + b"a" * MEBIBYTE, {413}),
    "a length of 1 TB": (HEAD + b"Content-Length: 1000000000000\r\n\r\n", {413}),
    "1 MiB in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % MEBIBYTE + b"a" * MEBIBYTE + b"\r\n0\r\n\r\n", {413}),
    "a chunk without a size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
    "an unknown encoding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", {501}),
    "1,500 brackets": (HEAD + b"Content-Length: %d\r\n\r\n" % DEPTH + b"[" * DEPTH, {400}),
    "a NUL in a symbol": (HEAD + b'Content-Length: 23\r\n\r\n{"symbols": ["\\u0000A"]}', {400}),
    "a number without end": (HEAD + b"Content-Length: 60013\r\n\r\n" + b'{"symbols": ' + b"9" * 60_000 + b"}", {400}),
}


def headers(target: Target, count: int) -> list[str]:
    """Case 6: headers that pretend to come from a proxy or from somebody else, and headers that are no headers."""
    problems = []
    for method, path in ASKED:
        plain = _seen(target.ask(method, path, by=PROBER))
        tricks = {name: _seen(target.ask(method, path, by=PROBER, headers={name: value})) for name, value in WITHOUT_EFFECT.items()}
        problems += [f"{name} changes {path}: {seen}" for name, seen in tricks.items() if seen != plain]
    problems += _refusals(target, REFUSED)
    return problems + _forged_problems(target, count)


def _forged_problems(target: Target, count: int) -> list[str]:
    """Whether an address can pretend to be many, and so exceed its budget."""

    def forged(number: int) -> int:
        address = {"X-Forwarded-For": f"203.0.113.{number % 250}"}
        return target.ask("GET", "/models/symbols?page_size=1", by=FORGER, headers=address).status

    began = time.monotonic()
    statuses = each(forged, range(count), at_once=AT_ONCE)
    return over_budget(statuses, seconds=time.monotonic() - began)


def _seen(answer: Answer) -> tuple[int, str | None, bytes]:
    """What a client sees of an answer that stays the same."""
    return answer.status, answer.headers["Location"], answer.body


def bodies(target: Target, count: int) -> list[str]:
    """Case 9: bodies that are too large, in chunks, or nested."""
    return [problem for _ in range(count) for problem in [*_refusals(target, BODIES), *_chunked_problems(target)]]


def _chunked_problems(target: Target) -> list[str]:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    answer = target.send(chunked, by=PROBER)
    return [] if answer.status == 200 else [f"a chunked body: {answer.status} {answer.body[:100]!r}"]


def _refusals(target: Target, requests: dict[str, tuple[bytes, set[int]]]) -> list[str]:
    """Requests that were not refused with their status, as JSON that the client can read."""
    problems = []
    for name, (data, expected) in requests.items():
        answer = target.send(data, by=PROBER)
        if answer.status not in expected or not answer.is_json_error:
            problems.append(f"{name}: {answer.status} {answer.body[:100]!r}")
    return problems
