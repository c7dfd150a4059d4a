"""HTTP POST to an address that somebody else chose, without reaching this machine or its network.

The name is resolved once, every address is checked, and the connection goes to the checked address: a second lookup could give
another one. Redirects are not followed.
"""

import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from ipaddress import IPv6Address, ip_address, ip_network
from typing import cast

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

TIMEOUT_S = 5.0  # to connect, and between two bytes of the answer
DEADLINE_S = 20.0  # of all of it
TRANSLATED = ip_network("64:ff9b::/96")  # NAT64 reaches IPv4 addresses through it, private ones included


class UndeliveredError(Exception):
    """No answer: the text says why."""


def post(url: str, body: bytes, *, headers: dict[str, str], allow_private: bool) -> int:
    """Sends the body; returns the status of the answer, whose body is not read. Raises UndeliveredError, after DEADLINE_S at the
    latest: a receiver that answers byte by byte keeps nobody but a thread of its own.

    With `allow_private`, addresses of this machine and its network are allowed.
    """
    outcome: Future[int] = Future()
    connections: list[HTTPConnection] = []

    def attempt() -> None:
        try:
            outcome.set_result(_post(url, body, headers=headers, allow_private=allow_private, connections=connections))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=attempt, name="webhook", daemon=True).start()
    try:
        return outcome.result(timeout=DEADLINE_S)
    except TimeoutError as error:
        for each in connections:
            with suppress(OSError, AttributeError):  # it has none yet, or no longer
                each.sock.shutdown(socket.SHUT_RDWR)  # ends the thread
        raise UndeliveredError(f"no whole answer within {DEADLINE_S:.0f} s") from error


def _post(url: str, body: bytes, *, headers: dict[str, str], allow_private: bool, connections: list[HTTPConnection]) -> int:
    """See `post`. Adds its connection to `connections` before it connects."""
    try:
        target = parse_url(url)
    except LocationParseError as error:
        raise UndeliveredError("the URL is not valid") from error
    if target.scheme not in {"http", "https"} or not target.host:
        raise UndeliveredError("the URL is not an http or https address")
    pool = _pool(target, _address(target, allow_private=allow_private))
    try:
        connections.append(cast("HTTPConnection", connection := pool._get_conn()))
        pool._put_conn(connection)  # the request takes it again
        answer = pool.urlopen(
            "POST",
            target.request_uri,
            body=body,
            headers={**headers, "Host": target.netloc or target.host},
            redirect=False,
            retries=False,
            preload_content=False,
        )
        answer.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UndeliveredError(f"no answer: {type(error).__name__}") from error
    finally:
        pool.close()
    return answer.status


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet, with IPv4 addresses inside IPv6 ones unwrapped."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip in TRANSLATED or ip.teredo:
            return False
        ip = ip.ipv4_mapped or ip.sixtofour or ip
    return ip.is_global and not ip.is_multicast


def _address(target: Url, *, allow_private: bool) -> str:
    """The address to connect to. Raises UndeliveredError if the name has none, or any that is not allowed."""
    try:
        found = socket.getaddrinfo((target.host or "").strip("[]"), target.port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UndeliveredError("its name cannot be resolved") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private and not all(is_public(address) for address in addresses):
        raise UndeliveredError("its address is private; WEBHOOK_ALLOW_PRIVATE=True allows that")
    return addresses[0]


def _pool(target: Url, address: str) -> urllib3.HTTPConnectionPool:
    """Connections to this address. The certificate must still be that of the name."""
    timeout = urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S)
    if target.scheme == "https":
        return urllib3.HTTPSConnectionPool(
            address, target.port, timeout=timeout, server_hostname=target.host, assert_hostname=target.host
        )
    return urllib3.HTTPConnectionPool(address, target.port, timeout=timeout)
