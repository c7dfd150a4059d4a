"""A receiver of webhooks: a real HTTP server that keeps what it got and answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """The requests so far, and the statuses of the next answers; after them, 204."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def messages(self) -> list[dict[str, Any]]:
        """The bodies."""
        return [json.loads(body) for _, body in self.got]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Serves until the end of the block."""
    ours = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ours.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(ours.statuses.pop(0) if ours.statuses else 204)
            self.send_header("Location", ours.url)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ours.url = f"http://127.0.0.1:{server.server_port}/hook?key=1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield ours
    finally:
        server.shutdown()
        server.server_close()
