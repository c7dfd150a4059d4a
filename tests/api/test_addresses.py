"""The address by which a caller is counted."""

import pytest
from django.test import RequestFactory

from forecasting.api.addresses import client_address


@pytest.mark.parametrize(
    ("connection", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", None),
    ],
)
def test_a_caller_is_counted_by_address_or_network(connection: str, counted: str | None) -> None:
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=connection)) == counted


def test_headers_of_the_client_change_nothing() -> None:
    headers = {"X-Forwarded-For": "198.51.100.1", "X-Real-IP": "198.51.100.1", "Forwarded": "for=198.51.100.1"}
    assert client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR="203.0.113.9")) == "203.0.113.9"
