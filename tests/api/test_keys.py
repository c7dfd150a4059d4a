"""API keys: a key that is not valid is never ignored; with the right one, closed routes and staff routes open."""

from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from forecasting.models import Training
from forecasting.models.keys import Scope
from forecasting.models.trainings import TrainingReason
from tests.api.conftest import Send, checked
from tests.api.keys import make_key, send_key
from tests.api.rows import LISTS
from tests.factories import make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

MAIN = {"check": {"symbols": ["SAMPLE1"]}, "metrics": {"symbols": ["SAMPLE1"]}, "predict": {"symbols": ["SAMPLE1"]}}
NOT_VALID = "The API key is wrong, revoked or expired, or its account is inactive."
MISSING = "Authentication credentials were not provided."
CANCEL = "/models/trainings/{id}/cancel"


def make_staff(*permissions: str, **values: Any) -> User:
    """The account Ana with these permissions and the password `a password`."""
    user = User.objects.create_user("ana", None, "a password", **({"is_staff": True} | values))
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def retrained(client: APIClient) -> Training:
    """The training that the client gets for a symbol with a model."""
    if not Training.objects.exists():
        make_version(make_symbol())
    response = client.post("/models/retrain", {"symbol": "SAMPLE1"}, format="json")
    return Training.objects.get(pk=checked(response, "/models/retrain", status=202, method="post")["training"]["id"])


def basic(password: str) -> str:
    return "Basic " + b64encode(f"ana:{password}".encode()).decode()


# What is refused


@pytest.mark.parametrize("value", ["Api-Key", "Api-Key ", "api-key abc", "Api-Key \0", "API-KEY abcdefgh." + "x" * 32])
@pytest.mark.parametrize("route", MAIN)
def test_a_key_that_is_not_valid_is_refused_even_if_none_is_required(client: APIClient, post: Send, route: str, value: str) -> None:
    client.credentials(HTTP_AUTHORIZATION=value)
    assert post(route, MAIN[route], status=401) == {"error": NOT_VALID, "details": {}}


@pytest.mark.parametrize("name", LISTS)
def test_lists_refuse_a_wrong_key_too(client: APIClient, get: Send, name: str) -> None:
    client.credentials(HTTP_AUTHORIZATION="Api-Key abc")
    assert get(f"/models/{name}", status=401) == {"error": NOT_VALID, "details": {}}


def test_the_refusal_names_the_scheme(client: APIClient) -> None:
    client.credentials(HTTP_AUTHORIZATION="Api-Key abc")
    assert client.get("/models/symbols").headers["WWW-Authenticate"] == "Api-Key"


@pytest.mark.parametrize(
    "values", [{"revoked": True}, {"expiry_date": timezone.now() - timedelta(days=1)}], ids=["revoked", "expired"]
)
def test_a_revoked_or_expired_key_is_refused(client: APIClient, post: Send, values: dict[str, Any]) -> None:
    send_key(client, **values)
    assert post("retrain", {"symbol": "SAMPLE1"}, status=401)["error"] == NOT_VALID
    assert not Training.objects.exists()


@pytest.mark.parametrize("value", ["", "Bearer abc", "Basic YTpi"])
def test_credentials_of_other_kinds_are_ignored_where_only_keys_count(client: APIClient, post: Send, value: str) -> None:
    client.credentials(HTTP_AUTHORIZATION=value)
    post("check", MAIN["check"])


# Routes that are closed by a setting


@pytest.mark.parametrize("route", [*MAIN, "retrain"])
def test_closed_main_routes_need_a_key(client: APIClient, post: Send, settings: Settings, route: str) -> None:
    settings.API_KEY_REQUIRED = True
    assert post(route, MAIN.get(route, {"symbol": "SAMPLE1"}), status=401) == {"error": MISSING, "details": {}}
    assert not Training.objects.exists()


@pytest.mark.parametrize("name", LISTS)
def test_closed_lists_need_a_key(client: APIClient, get: Send, settings: Settings, name: str) -> None:
    settings.API_KEY_REQUIRED = True
    get(f"/models/{name}", status=401)
    send_key(client)
    get(f"/models/{name}")


@pytest.mark.parametrize("route", MAIN)
def test_closed_main_routes_open_for_a_key(client: APIClient, post: Send, settings: Settings, route: str) -> None:
    settings.API_KEY_REQUIRED = True
    send_key(client)
    post(route, MAIN[route])


@pytest.mark.parametrize("address", ["/health", "/swagger", "/schema", "/swagger.json"])
def test_health_and_documentation_stay_open(client: APIClient, settings: Settings, address: str) -> None:
    settings.API_KEY_REQUIRED = True
    assert client.get(address).status_code == 200


# Retrainings


@pytest.mark.parametrize("route", ["check", "predict"])
def test_a_first_training_notes_the_key_that_asked(client: APIClient, post: Send, route: str) -> None:
    send_key(client)
    post(route, MAIN[route])
    training = Training.objects.get()
    assert (training.reason, training.requested_by) == (TrainingReason.NEVER_TRAINED, "key robot")


@pytest.mark.parametrize("route", ["check", "predict"])
def test_a_first_training_notes_the_address_that_asked_first(client: APIClient, post: Send, route: str) -> None:
    post(route, MAIN[route])
    send_key(client)
    post(route, MAIN[route])
    assert Training.objects.get().requested_by == "address 127.0.0.1"


def test_a_read_key_asks_like_an_anonymous_caller(client: APIClient) -> None:
    send_key(client)
    training = retrained(client)
    assert (training.reason, training.requested_by) == (TrainingReason.ASKED_ANONYMOUSLY, "key robot")


def test_a_train_key_goes_first(client: APIClient) -> None:
    send_key(client, scope=Scope.TRAIN)
    training = retrained(client)
    assert (training.reason, training.requested_by) == (TrainingReason.REQUESTED, "key robot")


def test_a_key_of_a_staff_account_goes_first(client: APIClient) -> None:
    send_key(client, user=make_staff())
    assert retrained(client).reason == TrainingReason.REQUESTED


def test_staff_with_a_password_go_first(client: APIClient) -> None:
    make_staff()
    client.credentials(HTTP_AUTHORIZATION=basic("a password"))
    training = retrained(client)
    assert (training.reason, training.requested_by) == (TrainingReason.REQUESTED, "account ana")


def test_a_wrong_password_is_refused(client: APIClient, post: Send) -> None:
    make_staff()
    client.credentials(HTTP_AUTHORIZATION=basic("another"))
    post("retrain", {"symbol": "SAMPLE1"}, status=401)
    assert not Training.objects.exists()


def test_an_account_that_is_not_staff_asks_like_an_anonymous_caller(client: APIClient) -> None:
    make_staff(is_staff=False)
    client.credentials(HTTP_AUTHORIZATION=basic("a password"))
    training = retrained(client)
    assert (training.reason, training.requested_by) == (TrainingReason.ASKED_ANONYMOUSLY, "address 127.0.0.1")


def test_a_session_needs_its_csrf_token() -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(make_staff())
    response = client.post("/models/retrain", {"symbol": "SAMPLE1"}, format="json")
    assert "CSRF" in checked(response, "/models/retrain", status=403, method="post")["error"]
    assert not Training.objects.exists()


def test_a_session_with_its_csrf_token_goes_first() -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(make_staff())
    client.get("/admin/password_change/")
    client.credentials(HTTP_X_CSRFTOKEN=client.cookies["csrftoken"].value)
    assert retrained(client).reason == TrainingReason.REQUESTED


def test_the_other_main_routes_need_no_csrf_token() -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(make_staff())
    assert client.post("/models/check", MAIN["check"], format="json").status_code == 200


# Staff routes


def cancelled(client: APIClient, *, status: int) -> Any:
    training = make_training(make_symbol())
    return checked(client.post(CANCEL.format(id=training.pk)), CANCEL, status=status, method="post")


def test_a_key_does_what_its_account_may_do(client: APIClient, caplog: pytest.LogCaptureFixture) -> None:
    send_key(client, user=make_staff("change_training"))
    assert cancelled(client, status=200)["state"] == "cancelled"
    assert "training cancelled by key robot" in caplog.messages


@pytest.mark.parametrize("values", [{}, {"is_staff": False}], ids=["without the permission", "not staff"])
def test_a_key_cannot_do_more_than_its_account(client: APIClient, values: dict[str, Any]) -> None:
    permissions = ["change_training"] if values else ["view_training"]
    send_key(client, user=make_staff(*permissions, **values))
    cancelled(client, status=403)


@pytest.mark.parametrize("scope", Scope)
def test_a_key_without_an_account_does_not_open_staff_routes(client: APIClient, scope: Scope) -> None:
    send_key(client, scope=scope)
    cancelled(client, status=403)


def test_a_key_of_an_inactive_account_is_refused(client: APIClient) -> None:
    send_key(client, user=make_staff("change_training", is_active=False))
    assert cancelled(client, status=401)["error"] == NOT_VALID


def test_names_of_accounts_are_in_no_public_list(client: APIClient, get: Send) -> None:
    _, text = make_key(scope=Scope.TRAIN, name="secret robot")
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {text}")
    retrained(client)
    client.credentials()
    assert "secret robot" not in str(get("/models/trainings"))
