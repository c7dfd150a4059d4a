"""Pages take a fixed number of queries, whatever the number of rows: here 1,500 symbols and 300,000 scored forecasts.

`python -m tests.page_bench` prints how long they take.
"""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from tests import many_rows
from tests.every_page import Page, pages

pytestmark = pytest.mark.django_db

# Two of each page for staff are those of session and account. A new page of tests/every_page.py is one line here.
QUERIES = {
    "login": 0,
    "swagger": 0,
    "visitors": 2,
    "visitors-symbol": 4,
    "home": 14,
    "symbol-list": 5,
    "symbol": 14,
    "modelversion-list": 5,
    "modelversion": 3,
    "forecast-list": 5,
    "forecast": 4,
    "training-list": 5,
    "training": 5,
    "jobrun-list": 6,
    "jobrun": 3,
    "workerprocess-list": 5,
    "workerprocess": 3,
    "alert-list": 4,
    "upstream-list": 4,
    "restatement-list": 4,
    "finding-list": 4,
    "finding": 4,
    "requestedname-list": 5,
    "key-list": 5,
    "webhook-list": 5,
    "delivery-list": 4,
    "schedule-list": 4,
    "success-list": 6,
    "failure-list": 6,
    "ormq-list": 5,
    "logentry-list": 5,
    "logentry": 5,
    "group-list": 5,
    "group": 5,
    "user-list": 6,
    "user": 7,
}


@pytest.fixture(scope="module")
def staff(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Client]:
    """A superuser's browser; the rows stay until the last test of this module."""
    with django_db_blocker.unblock():
        client = Client()
        client.force_login(User.objects.create_superuser("ana"), backend="django.contrib.auth.backends.ModelBackend")
        many_rows.fill()
        yield client
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def found(staff: Client) -> dict[str, Page]:
    """The pages by name."""
    return {page.name: page for page in pages()}


def test_every_page_has_a_number_of_queries(found: dict[str, Page]) -> None:
    assert set(found) == set(QUERIES)


@pytest.mark.parametrize("name", QUERIES)
def test_a_page_takes_its_number_of_queries(staff: Client, found: dict[str, Page], name: str) -> None:
    client = staff if found[name].staff else Client()
    client.get(found[name].address)  # what a process looks up once
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(found[name].address)

    assert answer.status_code == 200
    assert len(queries) == QUERIES[name], "\n".join(query["sql"] for query in queries)
