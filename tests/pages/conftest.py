"""What the tests of the pages for visitors share."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client
from time_machine import TimeMachineFixture

Page = Callable[..., str]


@pytest.fixture
def today(time_machine: TimeMachineFixture) -> None:
    """The morning of Tuesday, 3 June 2025: the last session in New York and in Sao Paulo was on Monday."""
    time_machine.move_to(datetime(2025, 6, 3, 12, tzinfo=UTC))


@pytest.fixture
def read(client: Client) -> Page:
    """`read("/", status=200)`: the page's text, its spaces plain."""

    def page(address: str, *, status: int = 200) -> str:
        response = client.get(address)
        assert response.status_code == status
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        return " ".join(response.content.decode().replace("\N{NO-BREAK SPACE}", " ").split())

    return page
