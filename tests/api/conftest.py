"""Requests whose answers are validated against the OpenAPI document."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient
from time_machine import TimeMachineFixture

from tests.api import openapi

Send = Callable[..., Any]
Predict = Callable[..., Any]
At = Callable[..., Any]
Count = Callable[[Callable[[], Any]], int]


@pytest.fixture(autouse=True)
def _static_files_when_they_are_asked_for(settings: Settings) -> None:
    """Otherwise each client of each test first scans all of them."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture
def client() -> APIClient:
    """A client without a login."""
    return APIClient()


@pytest.fixture
def post(client: APIClient) -> Send:
    """`post("check", {...})`: the answer of a main route, after checks of its status and schema."""

    def send(route: str, body: Any, *, status: int = 200) -> Any:
        response = client.post(f"/models/{route}", json.dumps(body), content_type="application/json")
        return checked(response, f"/models/{route}", status=status, method="post")

    return send


@pytest.fixture
def get(client: APIClient) -> Send:
    """`get("/models/symbols/{ticker}", ticker="A")`: the same for a list or detail route; `query` holds its filters."""

    def send(path: str, query: dict[str, Any] | None = None, *, status: int = 200, **parts: Any) -> Any:
        return checked(client.get(path.format(**parts), query), path, status=status, method="get")

    return send


@pytest.fixture
def today(time_machine: TimeMachineFixture) -> None:
    """The morning of Tuesday, 3 June 2025: the last session in New York and in Sao Paulo was on Monday."""
    time_machine.move_to(datetime(2025, 6, 3, 12, tzinfo=UTC))


@pytest.fixture
def predict(post: Send) -> Predict:
    """`predict("A")`: the prediction for one symbol."""
    return lambda ticker="SAMPLE1": post("predict", {"symbols": [ticker]})["predictions"][ticker]


@pytest.fixture
def at(predict: Predict, time_machine: TimeMachineFixture) -> At:
    """`at(moment)`: the answer at that time."""

    def answer(moment: datetime, ticker: str = "AAA") -> Any:
        time_machine.move_to(moment, tick=False)
        return predict(ticker)

    return answer


@pytest.fixture
def count_queries() -> Count:
    """Counts the database statements of a call."""

    def count(call: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as captured:
            call()
        return len(captured)

    return count


def checked(response: Any, path: str, *, status: int, method: str) -> Any:
    """The JSON of a response, after checks of its status and schema."""
    body = response.json()
    assert response.status_code == status, body
    assert openapi.violations(body, openapi.answer_schema(openapi.operations()[method, path], status)) == []
    return body


@pytest.fixture(scope="session")
def without_database() -> dict[str, Any]:
    """Answers of a service without a database, by path; see the script."""
    command = [sys.executable, "-m", "tests.api.without_database"]
    done = subprocess.run(command, cwd=django_settings.BASE_DIR, env=os.environ, capture_output=True, check=True, timeout=60)
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers
