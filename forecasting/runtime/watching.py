"""What a web server waits for on its connections.

The library's own loop asks every connection anew before each wait, and a thread that has answered must wake it. Here the interest
is kept between waits, only connections that had an event are asked, and any thread may change it while the loop waits.
"""

import threading
from select import POLLIN, POLLOUT
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector

from waitress.wasyncore import dispatcher, readwrite

FLAGS = {EVENT_READ: POLLIN, EVENT_WRITE: POLLOUT, EVENT_READ | EVENT_WRITE: POLLIN | POLLOUT}  # of the library


class Watch:
    """The open sockets of a server and the events that the main loop waits for."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._wanted: dict[int, int] = {}  # file number -> events; without sockets of which nothing is wanted
        self._changing = threading.Lock()  # so that the last one to change a socket's events has seen its newest state

    def update(self, socket: dispatcher) -> None:
        """Asks a socket for the events that it wants."""
        with self._changing:
            if (number := socket._fileno) is None:
                return  # closed meanwhile
            reads, writes = socket.readable(), socket.writable() and not socket.accepting
            wanted = EVENT_READ * bool(reads) | EVENT_WRITE * bool(writes)
            if wanted == self._wanted.get(number, 0):
                return
            self._forget(number)
            if wanted:
                self._selector.register(number, wanted, socket)
                self._wanted[number] = wanted

    def forget(self, socket: dispatcher) -> None:
        """Wants nothing more of a socket that is about to be closed."""
        with self._changing:
            self._forget(socket._fileno)

    def _forget(self, number: int) -> None:
        if self._wanted.pop(number, 0):
            self._selector.unregister(number)

    def handle(self, *, seconds: float) -> None:
        """Waits for events, and lets their sockets handle them."""
        for key, events in self._selector.select(seconds):
            if events and key.data._fileno == key.fd:  # else another thread has changed it, or the event before has closed it
                readwrite(key.data, FLAGS[events])
                self.update(key.data)
