"""The address of a caller, by which callers are counted."""

from ipaddress import IPv6Address, IPv6Network, ip_address

from django.http import HttpRequest

SHARED_BITS = 64  # of an IPv6 address: one customer of a provider has all addresses that begin with them


def client_address(request: HttpRequest) -> str | None:
    """The address of the connection, None for a Unix socket; of IPv6 only the network.

    Headers such as X-Forwarded-For do not count, because any client can write them.
    """
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0])
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, SHARED_BITS), strict=False).network_address)
