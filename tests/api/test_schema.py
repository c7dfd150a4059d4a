"""Generated requests for every documented operation: no server errors, and answers that match the document."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.conf import settings as django_settings
from django.core import signals
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from pytest_django import Settings

from stockpred.wsgi import application
from tests.factories import make_worker

# From the file, because ALLOWED_HOSTS is not set yet during collection. Another test checks that the file is up to date.
schema = schemathesis.openapi.from_path(django_settings.BASE_DIR / "openapi.yaml")
schema.app = application

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "12"))  # for each operation


@pytest.fixture(autouse=True)
def _as_djangos_test_client(settings: Settings, db: None) -> Iterator[None]:
    """Allows the host of these requests, and keeps them from closing the connection of the test's transaction."""
    settings.ALLOWED_HOSTS = ["localhost"]
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    make_worker()  # otherwise the service is not ready, and says so by a status that counts as a crash here
    yield
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


@pytest.mark.django_db
@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_documented(case: schemathesis.Case[Any]) -> None:
    if case.query and case.query.get("format") == "csv" and {"page", "page_size"} & {*case.query}:
        del case.query["format"]  # a CSV file has no pages; OpenAPI can say so only in words
    case.call_and_validate(headers={"Accept-Encoding": "identity"})  # its WSGI client unpacks nothing
