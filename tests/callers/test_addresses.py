"""The address that a request counts for."""

from ipaddress import ip_network

import pytest
from pytest_django import Settings

from forecasting.callers.addresses import address_of

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize("forwarded", ["", "198.51.100.7", "198.51.100.7, 10.0.0.1"])
def test_without_trusted_proxies_only_the_connection_counts(forwarded: str) -> None:
    assert address_of("203.0.113.9", forwarded=forwarded) == "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1,198.51.100.7 ,fd00::2,10.0.0.2", "198.51.100.7"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, ", "10.0.0.1"),
        ("10.0.0.1", "\0, 198.51.100.7", "198.51.100.7"),
    ],
)
def test_trusted_proxies_are_believed_from_right_to_left(settings: Settings, peer: str, forwarded: str, address: str) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    assert address_of(peer, forwarded=forwarded) == address


@pytest.mark.parametrize("address", ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:DB8:1:2::1%eth0"])
def test_all_addresses_of_an_ipv6_network_are_one_caller(address: str) -> None:
    assert address_of(address, forwarded="") == "2001:db8:1:2::/64"


def test_an_ipv4_address_written_as_ipv6_is_that_address() -> None:
    assert address_of("::ffff:203.0.113.9", forwarded="") == "203.0.113.9"


def test_connections_without_an_address_are_one_caller() -> None:
    assert address_of("", forwarded="198.51.100.7") == "unknown"
