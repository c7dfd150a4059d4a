"""A receiver of e-mail: a real SMTP server that keeps what it got, or refuses it."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Mailbox:
    """The messages so far. While `refuses` is true, none is taken."""

    url: str = ""
    got: list[EmailMessage] = field(default_factory=list)
    refuses: bool = False


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Serves until the end of the block."""
    ours = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 ready")
            while line := self.rfile.readline():
                word = line.split()[0].upper()
                if word == b"DATA":
                    self.say("354 go on")
                    self.keep()
                elif word == b"QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("550 no" if word == b"RCPT" and ours.refuses else "250 ok")

        def keep(self) -> None:
            lines = iter(self.rfile.readline, b".\r\n")
            body = b"".join(line.removeprefix(b".") for line in lines)  # a dot at the start is doubled (RFC 5321, 4.5.2)
            ours.got.append(message_from_bytes(body, policy=policy.default))
            self.say("250 kept")

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        ours.url = f"smtp://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ours
        server.shutdown()
