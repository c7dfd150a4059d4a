"""One web server process over real sockets: what slow, wrong and greedy clients get, and how it stops."""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from forecasting.runtime.processes import ProcessGroup, wait_for
from forecasting.runtime.web_server import HEADER_BYTES

BODY_LIMIT = 64 * 1024
LARGE = 8 * 1024 * 1024  # more than the sockets' buffers hold
SERVER = """
import json, socket, sys
from forecasting.runtime import web_server
from forecasting.runtime.processes import StopSignal

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/held":
        print("held", flush=True)
        open(sys.argv[2]).read()
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {name: value for name, value in environ.items() if isinstance(value, str)} | {"length": len(body)}
    return [b" " * int(environ["QUERY_STRING"] or 0) + json.dumps(seen).encode()]

vars(web_server).update(json.loads(sys.argv[1]))
stop = StopSignal()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web_server.WebServer(application, listener).serve(stop)
"""


class Server:
    """A running server; `fifo` releases its held requests."""

    def __init__(self, folder: Path, constants: dict[str, float]) -> None:
        self.fifo, self.output = folder / "fifo", folder / "output"
        os.mkfifo(self.fifo)
        command = [sys.executable, "-c", SERVER, json.dumps(constants), str(self.fifo)]
        self.group = ProcessGroup("server", command, output=self.output)
        assert wait_for(lambda: self.output.exists() and self.output.read_text().endswith("\n"), seconds=60)
        self.port = int(self.output.read_text())

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def send(self, data: bytes) -> HTTPResponse:
        """The answer to bytes that are sent as they are."""
        with self.connect() as client:
            client.sendall(data)
            return answer(client)

    def get(self, path: str = "/", **headers: str) -> dict[str, Any]:
        """What the application saw."""
        http = HTTPConnection("127.0.0.1", self.port, timeout=30)
        http.request("GET", path, headers=headers)
        seen: dict[str, Any] = json.load(http.getresponse())
        http.close()
        return seen

    def sockets(self) -> int:
        """How many sockets the process has; one that closes while we look is not counted."""
        count = 0
        for link in Path(f"/proc/{self.group.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                count += "socket:" in str(link.readlink())
        return count


def answer(client: socket.socket) -> HTTPResponse:
    """The whole answer, and the end of the connection if the server closes it."""
    response = HTTPResponse(client)
    response.begin()
    response.content = response.read()  # type: ignore[attr-defined]
    return response


def error_of(response: HTTPResponse) -> dict[str, Any]:
    """The body of an error of the server itself."""
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Server"] is None
    body: dict[str, Any] = json.loads(response.content)  # type: ignore[attr-defined]
    assert set(body) == {"error", "details"}
    return body


@contextmanager
def serving(folder: Path, **constants: float) -> Iterator[Server]:
    server = Server(folder, constants)
    try:
        yield server
    finally:
        server.group.stop(grace_s=20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), READ_SECONDS=1, ANSWER_SECONDS=1) as running:
        yield running


def post(length: str) -> bytes:
    return f"POST / HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()


WRONG = {
    "no HTTP": (400, b"GARBAGE\r\n\r\n"),
    "a length that is no number": (400, post("Content-Length: ten")),
    "an endless address": (414, b"GET /" + b"a" * 10 * HEADER_BYTES),
    "too many headers": (431, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * HEADER_BYTES),
    "a body over the limit": (413, post("Content-Length: 4000000") + b"a" * 4_000_000),
    "a chunked body over the limit": (413, post("Transfer-Encoding: chunked") + b"3d0900\r\n" + b"a" * 4_000_000),
    "an unknown coding": (501, post("Transfer-Encoding: gzip")),
    "a length of 5,000 digits": (400, post("Content-Length: " + "0" * 5000)),
    "an address that is none": (400, b"GET http://[::1/ HTTP/1.1\r\n\r\n"),
    "chunks and a length": (400, post("Content-Length: 5\r\nTransfer-Encoding: chunked") + b"0\r\n\r\n"),
    "chunks in HTTP/1.0": (400, post("Transfer-Encoding: chunked").replace(b"/1.1", b"/1.0") + b"0\r\n\r\n"),
    "a body over the limit that waits for its turn": (413, post("Expect: 100-continue\r\nContent-Length: 4000000")),
}


@pytest.mark.parametrize(("status", "request_bytes"), WRONG.values(), ids=WRONG)
def test_what_it_refuses_is_answered_as_json_that_the_client_can_read(server: Server, status: int, request_bytes: bytes) -> None:
    response = server.send(request_bytes)
    assert response.status == status
    assert error_of(response)["error"]


def test_a_body_of_the_largest_size_is_read(server: Server) -> None:
    response = server.send(post(f"Content-Length: {BODY_LIMIT}") + b"a" * BODY_LIMIT)
    assert json.loads(response.content)["length"] == BODY_LIMIT  # type: ignore[attr-defined]


def test_a_chunked_body_is_read(server: Server) -> None:
    response = server.send(post("Transfer-Encoding: chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    seen = json.loads(response.content)  # type: ignore[attr-defined]
    assert (seen["length"], seen["CONTENT_LENGTH"]) == (5, "5")


def test_a_request_without_a_body_is_not_asked_for_one(server: Server) -> None:
    assert server.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n").status == 200


def test_requests_that_come_in_one_packet_are_all_answered(server: Server) -> None:
    with server.connect() as client, client.makefile("rb") as stream:
        client.sendall(b"".join(f"GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for number in range(5)))
        for number in range(5):
            headers = dict(line.split(b": ") for line in [*iter(stream.readline, b"\r\n")][1:])
            assert json.loads(stream.read(int(headers[b"Content-Length"])))["PATH_INFO"] == f"/{number}"


def test_an_answer_that_is_larger_than_the_sockets_buffers_arrives_whole(server: Server) -> None:
    response = server.send(f"GET /?{LARGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert json.loads(response.content)["QUERY_STRING"] == str(LARGE)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["SCRIPT_NAME", "Script-Name", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded"]
)
def test_headers_that_speak_for_a_proxy_change_nothing(server: Server, name: str) -> None:
    plain, seen = server.get(), server.get(**{name: "/x"})
    told = ("SCRIPT_NAME", "PATH_INFO", "wsgi.url_scheme", "HTTP_HOST", "REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT")
    assert [seen[key] for key in told] == [plain[key] for key in told]


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nA: ", post("Content-Length: 1000")], ids=["headers", "body"])
def test_a_request_is_refused_at_its_deadline_although_bytes_still_arrive(server: Server, begin: bytes) -> None:
    with server.connect() as client:
        client.sendall(begin)
        trickle_until_answered(client, b"a")
        response = answer(client)
    assert response.status == 408
    assert error_of(response)["error"]


def test_a_client_that_sends_only_empty_lines_is_disconnected(server: Server) -> None:
    with server.connect() as client:
        trickle_until_answered(client, b"\r\n\r\n")
        assert ended(client)


def trickle_until_answered(client: socket.socket, data: bytes) -> None:
    """Sends the data several times a second, until the server answers or closes."""
    for _ in range(300):
        if select.select([client], [], [], 0.1)[0]:
            return
        client.sendall(data)
    raise AssertionError("the server waits for ever")


def ended(client: socket.socket) -> bool:
    """Whether the server closed the connection without an answer."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_client_that_does_not_take_its_answer_is_disconnected(server: Server) -> None:
    server.get()
    assert wait_for(lambda: server.sockets() == 1, seconds=20)  # the listening one; earlier clients have gone
    with server.connect() as client:
        client.sendall(f"GET /?{LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert wait_for(lambda: server.sockets() == 2, seconds=20)
        assert wait_for(lambda: server.sockets() == 1, seconds=20)


@pytest.mark.parametrize("begin", [b"", b"GET / HT", post("Content-Length: 9") + b"{"], ids=["idle", "headers", "body"])
def test_two_hundred_slow_clients_keep_nobody_from_an_answer(tmp_path: Path, begin: bytes) -> None:
    with serving(tmp_path) as server, ExitStack() as slow:
        for _ in range(200):
            slow.enter_context(server.connect()).sendall(begin)
        assert [server.get("/x")["PATH_INFO"] for _ in range(20)] == ["/x"] * 20


def test_over_the_limit_of_connections_the_one_that_waited_longest_gives_way(tmp_path: Path) -> None:
    with serving(tmp_path, CONNECTIONS=5) as server, ExitStack() as opened:
        clients = [opened.enter_context(server.connect()) for _ in range(6)]
        assert ended(clients[0])
        clients[5].sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert answer(clients[5]).status == 200


def test_a_stop_lets_a_running_request_finish_and_refuses_new_connections(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.connect() as client:
        client.sendall(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wait_for(lambda: "held" in server.output.read_text(), seconds=20)
        os.kill(server.group.pid, signal.SIGTERM)
        assert wait_for(lambda: refuses(server), seconds=5)
        server.fifo.write_text("go on")
        response = answer(client)
        assert (response.status, response.headers["Connection"]) == (200, "close")
        client.close()
        assert wait_for(lambda: server.group.ended() is not None, seconds=20)
        assert server.group.ended() == 0


def refuses(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_stop_does_not_wait_for_idle_clients(tmp_path: Path) -> None:
    with serving(tmp_path, GRACE_SECONDS=200) as server, server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(client).status == 200
        os.kill(server.group.pid, signal.SIGTERM)
        assert wait_for(lambda: server.group.ended() == 0, seconds=60)


def test_a_stop_does_not_wait_for_a_request_that_takes_too_long(tmp_path: Path) -> None:
    with serving(tmp_path, GRACE_SECONDS=1) as server, server.connect() as client:
        client.sendall(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wait_for(lambda: "held" in server.output.read_text(), seconds=20)
        os.kill(server.group.pid, signal.SIGTERM)
        assert wait_for(lambda: server.group.ended() == 0, seconds=60)
