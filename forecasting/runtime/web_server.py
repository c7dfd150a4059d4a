"""One web server process: waitress with deadlines that a slow client cannot extend, JSON errors, and a stop without lost requests.

Waitress reads whole requests before a thread works on them, so a slow client costs a connection but no thread.
"""

import json
import math
import socket
import time
from http import HTTPStatus
from typing import Any

from django.conf import settings
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error, RequestHeaderFieldsTooLarge

from forecasting.runtime.processes import StopSignal
from forecasting.runtime.watching import Watch

THREADS = 4
CONNECTIONS = 400  # most at the same time; one more closes the one that has waited longest for its client
HEADER_BYTES = 16 * 1024
SEND_BYTES = 64 * 1024  # of an answer that is still written; its end is sent at once
READ_SECONDS = 10  # from the first byte of a request to its last
IDLE_SECONDS = 60  # without a byte in either direction
ANSWER_SECONDS = 60  # from a request's last byte until the client has taken the answer
LINGER_SECONDS = 3  # after the last answer; meanwhile the server discards what the client still sends
GRACE_SECONDS = 10  # for running requests, after the stop signal
GRACE_IDLE_SECONDS = 1.0  # then, an idle connection is closed; a busy client's next request comes earlier
PERIOD_SECONDS = 0.2  # between looks at deadlines and the stop signal

MESSAGES = {
    HTTPStatus.BAD_REQUEST: "The request is not valid HTTP.",
    HTTPStatus.REQUEST_TIMEOUT: f"The request was not complete within {READ_SECONDS} seconds.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"The body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"The URL is longer than {HEADER_BYTES} bytes.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"URL and headers are larger than {HEADER_BYTES} bytes.",
    HTTPStatus.NOT_IMPLEMENTED: "Of Transfer-Encoding, only chunked is supported.",
}


class RequestTimeoutError(Error):
    """The client was too slow."""

    code = HTTPStatus.REQUEST_TIMEOUT


class UriTooLongError(Error):
    """The first line alone is larger than all headers may be."""

    code = HTTPStatus.REQUEST_URI_TOO_LONG


class Parser(HTTPRequestParser):
    """Tells a URL that is too long from headers that are too large, and refuses what the library reads in one of several ways."""

    error: Error | None
    headers: dict[str, str]

    def received(self, data: bytes) -> int:
        """How many of the bytes belong to this request."""
        begin = (self.header_plus + data)[:HEADER_BYTES]
        consumed = int(super().received(data))
        if isinstance(self.error, RequestHeaderFieldsTooLarge) and b"\r\n" not in begin:
            self.error = UriTooLongError(None)
        if self.completed:
            self.expect_continue = False  # the library would ask for a body and wait
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Raises ParsingError. A request ends where each server on its way thinks that it ends, or nowhere (RFC 9112, 6.1)."""
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a length of thousands of digits, or a broken address
            raise ParsingError(str(error)) from error
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding beside Content-Length, or in HTTP/1.0")


class Answer(WSGITask):
    """The application's answer. It is the last one on its connection if the process stops."""

    def build_response_header(self) -> Any:
        """The header as bytes."""
        if self.channel.server.draining:
            self.request.headers["CONNECTION"] = "close"
        return super().build_response_header()

    def finish(self) -> None:
        """Sends header and body together."""
        super().finish()
        self.channel.send_now()


class JsonError(ErrorTask):
    """An error of the server itself, in the shape of the API's errors."""

    def execute(self) -> None:
        """Writes the answer and closes the connection after it."""
        status = HTTPStatus(self.request.error.code)
        body = json.dumps({"error": MESSAGES.get(status, f"{status.phrase}."), "details": {}}).encode()
        self.status = f"{status.value} {status.phrase}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):
    """A client's connection, with a deadline for each request, each answer, and the close."""

    task_class = Answer
    error_task_class = JsonError
    parser_class = Parser
    request: Parser | None
    deadline = math.inf  # by the monotonic clock
    reading = False  # a request has begun and no thread works on it yet
    answered_at = 0.0  # by the clock of the library's times
    lingering = False  # the last answer is sent and our direction is closed

    def received(self, data: bytes) -> bool:
        """Takes bytes from the client. Only the first one of a request sets the deadline."""
        if not self.reading and not self.lingering:
            self.reading, self.deadline = True, time.monotonic() + READ_SECONDS
        return bool(super().received(data))

    def service(self) -> None:
        """Answers a request, in a thread. Until it returns, the main loop reads nothing from this connection."""
        self.reading, self.deadline = False, time.monotonic() + ANSWER_SECONDS
        super().service()
        self.answered_at = time.time()
        self.server.watch.update(self)

    def write_soon(self, data: Any) -> int:
        """Takes bytes of an answer. The main loop sends what the client has no room for yet."""
        taken = int(super().write_soon(data))
        if self.total_outbufs_len >= SEND_BYTES:
            self.server.watch.update(self)
        return taken

    def send_now(self) -> None:
        """Sends what the client has room for."""
        with self.outbuf_lock:
            self._flush_exception(self._flush_some, do_close=False)

    def del_channel(self, map: Any = None) -> None:
        """Called before it is closed."""
        self.server.watch.forget(self)
        super().del_channel(map)

    def readable(self) -> bool:
        """Whether the main loop reads."""
        return not self.will_close if self.lingering else bool(super().readable())

    def writable(self) -> bool:
        """Whether the main loop writes or closes."""
        return bool(self.will_close or (super().writable() and not self.lingering))

    def handle_write(self) -> None:
        """Sends what waits. The library would then close at once; unread bytes of the client would make that a reset."""
        if self.total_outbufs_len:
            self._flush_exception(self._flush_some_if_lockable)
        if self.close_when_flushed and not self.total_outbufs_len:
            self._linger()
        if self.will_close:
            self.handle_close()

    def _linger(self) -> None:
        self.lingering, self.deadline = True, time.monotonic() + LINGER_SECONDS
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.will_close = True  # the client has gone

    def enforce_deadline(self) -> None:
        """Ends a connection whose client is late; if a request has begun, with an answer."""
        if time.monotonic() < self.deadline:
            return
        if self.lingering or self.total_outbufs_len:
            self.handle_close()
        elif self.reading and not self.requests:
            self._refuse()

    def _refuse(self) -> None:
        if self.request is None:  # nothing but empty lines
            self.handle_close()
            return
        with self.requests_lock:
            self.request.error = RequestTimeoutError(None)
            self.requests, self.request = [self.request], None
        self.server.add_task(self)

    def waits_for_client(self) -> bool:
        """Whether no request is complete and no answer is due."""
        return not self.requests and (self.lingering or not self.total_outbufs_len)

    def close_if_idle(self) -> None:
        """Closes a connection without a request, unless its client may be about to send one."""
        idle = self.waits_for_client() and self.request is None and not self.lingering
        if idle and time.time() > self.last_activity + GRACE_IDLE_SECONDS:
            self.handle_close()


class WebServer(TcpWSGIServer):
    """Serves a WSGI application on a listening socket that other processes share."""

    channel_class = Channel
    draining = False

    def __init__(self, application: Any, listener: socket.socket) -> None:
        """Accepts connections as soon as `serve` runs."""
        self.watch = Watch()
        adjustments = Adjustments(
            sockets=[listener],
            threads=THREADS,
            connection_limit=2 * CONNECTIONS,  # the library stops to accept there; we close waiting connections earlier
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=1,
            send_bytes=SEND_BYTES,
            max_request_header_size=HEADER_BYTES,
            max_request_body_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1,  # the library refuses from this size on
            clear_untrusted_proxy_headers=False,  # Django ignores them unless a setting trusts a proxy
            log_socket_errors=False,
            ident="",
        )
        family = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(application, _sock=listener, adj=adjustments, sockinfo=family, bind_socket=False)

    def handle_accept(self) -> None:
        """Accepts a connection. If there are too many now, closes the one that has waited longest for its client."""
        super().handle_accept()
        for channel in [*self.active_channels.values()][-1:]:
            self.watch.update(channel)
        if len(self.active_channels) > CONNECTIONS:
            waiting = [channel for channel in self.active_channels.values() if channel.waits_for_client()]
            min(waiting, key=lambda channel: max(channel.creation_time, channel.answered_at)).handle_close()

    def serve(self, stop: StopSignal) -> None:
        """Returns after the stop signal, once all answers are sent; at most GRACE_SECONDS later."""
        while not stop.wait(0):
            self._handle_events()
        self.draining = True
        self.watch.forget(self)
        wasyncore.dispatcher.close(self)  # only this process's copy of the listening socket
        ends = time.monotonic() + GRACE_SECONDS
        while self.active_channels and time.monotonic() < ends:
            for channel in [*self.active_channels.values()]:
                channel.close_if_idle()
            self._handle_events()

    def pull_trigger(self) -> None:
        """Nothing: a thread that changes what its connection waits for says so itself."""

    def _handle_events(self) -> None:
        """Handles the events of all connections for a while, once those that are late have been ended."""
        for channel in [*self.active_channels.values()]:
            channel.enforce_deadline()
        for each in [*self._map.values()]:
            self.watch.update(each)
        ends = time.monotonic() + PERIOD_SECONDS
        while time.monotonic() < ends:
            self.watch.handle(seconds=PERIOD_SECONDS)
