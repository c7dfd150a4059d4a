"""/models/webhooks: staff add, list and remove webhooks."""

from typing import Any

import pytest
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from rest_framework.test import APIClient

from forecasting.models import Key, Webhook
from forecasting.models.keys import Scope
from tests.api.conftest import checked
from tests.api.test_staff_routes import make_user

pytestmark = pytest.mark.django_db

LIST, DETAIL = "/models/webhooks", "/models/webhooks/{id}"
NEW = {"url": "https://example.org/hook", "events": ["training.ended"]}
ALL = ("view_webhook", "add_webhook", "delete_webhook")


def get(client: APIClient, path: str, schema: str, *, status: int = 200) -> Any:
    """The answer, after checks of its status and schema."""
    return checked(client.get(path), schema, status=status, method="get")


def post(client: APIClient, body: Any, *, status: int) -> Any:
    """The answer, after checks of its status and schema."""
    return checked(client.post(LIST, body, format="json"), LIST, status=status, method="post")


@pytest.fixture
def staff(client: APIClient) -> APIClient:
    """A client with the login of staff who may manage webhooks."""
    client.force_authenticate(make_user(*ALL))
    return client


def test_the_secret_is_shown_once(staff: APIClient) -> None:
    made = post(staff, NEW, status=201)
    webhook = Webhook.objects.get()
    assert (made["secret"], webhook.created_by) == (webhook.secret, "account ana")
    (row,) = get(staff, LIST, LIST)["results"]
    assert row == {name: value for name, value in made.items() if name != "secret"}
    assert get(staff, DETAIL.format(id=made["id"]), DETAIL) == row


def test_a_webhook_is_removed(staff: APIClient) -> None:
    made = post(staff, NEW, status=201)
    assert staff.delete(DETAIL.format(id=made["id"])).status_code == 204
    assert not Webhook.objects.exists()


def test_the_log_of_the_admin_says_who_made_and_removed_a_webhook(staff: APIClient) -> None:
    made = post(staff, NEW, status=201)
    staff.delete(DETAIL.format(id=made["id"]))
    told = [(entry.action_flag, entry.change_message) for entry in LogEntry.objects.order_by("pk")]
    assert told == [(ADDITION, "Added through the API by account ana."), (DELETION, "Removed through the API by account ana.")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**NEW, "url": "ftp://example.org"}, "url"),
        ({**NEW, "url": "example"}, "url"),
        ({**NEW, "events": ["training.started"]}, "events"),
        ({**NEW, "events": []}, "events"),
        ({"url": NEW["url"]}, "events"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused(staff: APIClient, body: dict[str, Any], field: str) -> None:
    assert [*post(staff, body, status=400)["details"]] == [field]


@pytest.mark.parametrize("missing", ALL)
def test_each_permission_is_needed(client: APIClient, missing: str) -> None:
    client.force_authenticate(make_user(*(each for each in ALL if each != missing)))
    webhook = Webhook.objects.create(**NEW)
    answers = {
        "view_webhook": client.get(LIST),
        "add_webhook": client.post(LIST, NEW, format="json"),
        "delete_webhook": client.delete(DETAIL.format(id=webhook.pk)),
    }
    assert [name for name, answer in answers.items() if answer.status_code == 403] == [missing]


def test_strangers_see_no_webhooks(client: APIClient) -> None:
    assert get(client, LIST, LIST, status=401)["error"]


def test_a_key_with_the_scope_train_manages_its_own_webhooks(client: APIClient) -> None:
    Webhook.objects.create(**NEW)
    _, text = Key.objects.create_key(name="robot", scope=Scope.TRAIN)
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {text}")
    made = post(client, NEW, status=201)
    assert made["created_by"] == "key robot"
    assert [row["id"] for row in get(client, LIST, LIST)["results"]] == [made["id"]]


def test_a_key_that_may_only_read_manages_no_webhooks(client: APIClient) -> None:
    _, text = Key.objects.create_key(name="reader")
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {text}")
    assert get(client, LIST, LIST, status=403)["error"]
