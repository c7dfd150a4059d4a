"""The address that a request counts for. Behind trusted proxies, it is the one that they report."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.conf import settings

Address = IPv4Address | IPv6Address

UNKNOWN = "unknown"  # the server names no address, such as on a Unix socket


def address_of(peer: str, *, forwarded: str) -> str:
    """The caller's IPv4 address, or the /64 network of its IPv6 address, because a host can use all addresses of its network.

    `peer` is the other end of the connection, `forwarded` the value of X-Forwarded-For. Each proxy appends the address that it
    was called from. So the addresses are read from the right, as long as TRUSTED_PROXIES has the one that reports them.
    """
    address = _parsed(peer)
    for hop in reversed(forwarded.split(",")):
        if not (address and _is_trusted(address) and (earlier := _parsed(hop))):
            break
        address = earlier
    return _counted(address) if address else UNKNOWN


def is_trusted(peer: str) -> bool:
    """Whether TRUSTED_PROXIES has the other end of the connection."""
    address = _parsed(peer)
    return address is not None and _is_trusted(address)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _counted(address: Address) -> str:
    return str(address if isinstance(address, IPv4Address) else IPv6Network((int(address), 64), strict=False))
