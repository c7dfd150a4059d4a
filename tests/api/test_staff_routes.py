"""POST /models/versions/{id}/activate and /models/trainings/{id}/cancel: only for staff."""

from base64 import b64encode
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from forecasting.models import Key, ModelVersion
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import VersionState
from tests.api.conftest import checked
from tests.api.serving import file_of, serve
from tests.factories import make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

ACTIVATE, CANCEL = "/models/versions/{id}/activate", "/models/trainings/{id}/cancel"


def make_user(*permissions: str, is_staff: bool = True) -> User:
    """The user Ana with these permissions and the password `a password`."""
    user = User.objects.create_user("ana", None, "a password", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.fixture
def staff(client: APIClient) -> APIClient:
    """A client with the login of staff who may change versions and trainings."""
    client.force_authenticate(make_user("change_modelversion", "change_training"))
    return client


def send(client: APIClient, path: str, key: int, *, status: int) -> Any:
    """The answer to a POST, after checks of its status and schema."""
    return checked(client.post(path.format(id=key)), path, status=status, method="post")


def two_versions() -> tuple[ModelVersion, ModelVersion]:
    """A retired and an active version of one symbol, with files."""
    symbol = make_symbol()
    retired, active = serve(symbol), serve(symbol)
    retired.refresh_from_db()
    return retired, active


def test_staff_let_an_earlier_version_serve_again(staff: APIClient) -> None:
    retired, active = two_versions()
    answer = send(staff, ACTIVATE, retired.pk, status=200)
    assert (answer["id"], answer["state"], answer["decision"]) == (retired.pk, "active", retired.decision)
    assert answer["activated_at"] is not None
    active.refresh_from_db()
    assert active.state == VersionState.RETIRED


def test_what_staff_do_through_the_api_is_in_the_log_of_the_admin(staff: APIClient) -> None:
    retired, _ = two_versions()
    training = make_training(retired.symbol)
    send(staff, ACTIVATE, retired.pk, status=200)
    send(staff, CANCEL, training.pk, status=200)
    told = {(entry.user.get_username(), entry.object_id, entry.change_message) for entry in LogEntry.objects.all()}
    assert told == {
        ("ana", str(retired.pk), "Activated through the API by account ana."),
        ("ana", str(training.pk), "Cancelled through the API by account ana."),
    }
    retired.refresh_from_db()
    assert retired.activated_by == "account ana"


def test_the_log_names_the_key_that_acts_for_an_account(client: APIClient) -> None:
    retired, _ = two_versions()
    _, text = Key.objects.create_key(name="nightly", user=make_user("change_modelversion"))
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {text}")
    send(client, ACTIVATE, retired.pk, status=200)
    entry = LogEntry.objects.get()
    assert (entry.user.get_username(), entry.change_message) == ("ana", "Activated through the API by key nightly.")


def test_a_retraining_that_staff_request_is_in_the_log(staff: APIClient) -> None:
    symbol = make_symbol()
    answer = staff.post("/models/retrain", {"symbol": symbol.ticker}, format="json")
    checked(answer, "/models/retrain", status=202, method="post")
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.change_message) == ("SAMPLE1", "Training requested through the API by account ana.")


def test_what_fails_is_not_in_the_log(staff: APIClient) -> None:
    retired, _ = two_versions()
    file_of(retired, "model.onnx").unlink()
    send(staff, ACTIVATE, retired.pk, status=400)
    send(staff, CANCEL, make_training(retired.symbol, state=TrainingState.SUCCEEDED).pk, status=400)
    assert not LogEntry.objects.exists()


def test_the_active_version_can_be_activated_again(staff: APIClient) -> None:
    _, active = two_versions()
    assert send(staff, ACTIVATE, active.pk, status=200)["state"] == "active"


def test_a_version_whose_files_are_damaged_is_not_activated(staff: APIClient) -> None:
    retired, active = two_versions()
    file_of(retired, "model.onnx").unlink()
    assert send(staff, ACTIVATE, retired.pk, status=400) == {
        "error": "The request is invalid.",
        "details": {"version": ["Its files cannot be used: model.onnx is missing."]},
    }
    active.refresh_from_db()
    assert active.state == VersionState.ACTIVE


@pytest.mark.parametrize("state", [TrainingState.QUEUED, TrainingState.RUNNING])
def test_staff_cancel_a_training_that_waits_or_runs(staff: APIClient, state: TrainingState) -> None:
    training = make_training(make_symbol(), state=state)
    answer = send(staff, CANCEL, training.pk, status=200)
    assert (answer["id"], answer["state"]) == (training.pk, "cancelled")
    assert answer["finished_at"] is not None


@pytest.mark.parametrize("state", [TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.CANCELLED])
def test_a_training_that_has_ended_cannot_be_cancelled(staff: APIClient, state: TrainingState) -> None:
    training = make_training(make_symbol(), state=state)
    answer = send(staff, CANCEL, training.pk, status=400)
    assert answer["details"] == {"training": [f"It has already ended: {state}."]}
    training.refresh_from_db()
    assert training.state == state


@pytest.mark.parametrize("path", [ACTIVATE, CANCEL])
def test_a_missing_row_is_not_found(staff: APIClient, path: str) -> None:
    assert send(staff, path, 1, status=404)["details"] == {}


@pytest.mark.parametrize("path", [ACTIVATE, CANCEL])
def test_a_trailing_slash_is_optional(staff: APIClient, path: str) -> None:
    assert staff.post(path.format(id=1) + "/").json() == staff.post(path.format(id=1)).json()


@pytest.mark.parametrize("path", [ACTIVATE, CANCEL])
def test_a_client_without_a_login_is_refused(client: APIClient, path: str) -> None:
    answer = send(client, path, 1, status=401)
    assert answer == {"error": "Authentication credentials were not provided.", "details": {}}


@pytest.mark.parametrize("path", [ACTIVATE, CANCEL])
def test_users_who_are_not_staff_are_refused(client: APIClient, path: str) -> None:
    client.force_authenticate(make_user("change_modelversion", "change_training", is_staff=False))
    answer = send(client, path, 1, status=403)
    assert answer == {"error": "You do not have permission to perform this action.", "details": {}}


@pytest.mark.parametrize(
    ("path", "permissions"),
    [
        (ACTIVATE, ()),
        (ACTIVATE, ("view_modelversion", "add_modelversion", "delete_modelversion", "change_training")),
        (CANCEL, ()),
        (CANCEL, ("view_training", "add_training", "delete_training", "change_modelversion")),
    ],
)
def test_staff_without_the_change_permission_are_refused(client: APIClient, path: str, permissions: tuple[str, ...]) -> None:
    client.force_authenticate(make_user(*permissions))
    answer = send(client, path, 1, status=403)
    assert answer == {"error": "You do not have permission to perform this action.", "details": {}}


def test_one_permission_is_enough_for_its_route(client: APIClient) -> None:
    client.force_authenticate(make_user("change_training"))
    assert send(client, CANCEL, make_training(make_symbol()).pk, status=200)["state"] == "cancelled"


@pytest.mark.parametrize("path", [ACTIVATE, CANCEL])
def test_another_method_is_refused(staff: APIClient, path: str) -> None:
    answer = checked(staff.get(path.format(id=1)), path, status=405, method="post")
    assert answer == {"error": 'Method "GET" not allowed.', "details": {}}


def test_the_log_says_who_activated_a_version(staff: APIClient, caplog: pytest.LogCaptureFixture) -> None:
    retired, _ = two_versions()
    send(staff, ACTIVATE, retired.pk, status=200)
    assert "version 1 activated by account ana" in caplog.messages


def test_the_log_says_who_cancelled_a_training(staff: APIClient, caplog: pytest.LogCaptureFixture) -> None:
    send(staff, CANCEL, make_training(make_symbol()).pk, status=200)
    assert "training cancelled by account ana" in caplog.messages


def test_a_refused_request_changes_nothing(client: APIClient) -> None:
    version = make_version(make_symbol(), state="retired")
    training = make_training(make_symbol("SAMPLE2"))
    for user, status in ((None, 401), (make_user(), 403)):
        client.force_authenticate(user)
        send(client, ACTIVATE, version.pk, status=status)
        send(client, CANCEL, training.pk, status=status)
    version.refresh_from_db()
    training.refresh_from_db()
    assert (version.state, training.state) == ("retired", "queued")


def test_staff_may_use_http_basic(client: APIClient) -> None:
    make_user("change_training")
    training = make_training(make_symbol())
    client.credentials(HTTP_AUTHORIZATION=f"Basic {b64encode(b'ana:a password').decode()}")
    assert send(client, CANCEL, training.pk, status=200)["state"] == "cancelled"


@pytest.mark.parametrize(
    "account", [b"ana:a password", b"an\0a:a password", b"\xff:a password"], ids=["unknown", "NUL", "not UTF-8"]
)
def test_a_wrong_account_is_refused(client: APIClient, account: bytes) -> None:
    client.credentials(HTTP_AUTHORIZATION=f"Basic {b64encode(account).decode()}")
    assert send(client, CANCEL, 1, status=401) == {"error": "Invalid username/password.", "details": {}}


def test_a_session_needs_the_csrf_token() -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(make_user("change_training"))
    training = make_training(make_symbol())
    assert send(client, CANCEL, training.pk, status=403)["error"].startswith("CSRF Failed")


@pytest.mark.parametrize("name", ["symbols", "versions", "trainings", "forecasts"])
def test_the_lists_ignore_credentials(client: APIClient, name: str) -> None:
    client.credentials(HTTP_AUTHORIZATION="Basic nonsense")
    assert client.get(f"/models/{name}").status_code == 200


@pytest.mark.parametrize("route", ["check", "metrics", "predict"])
def test_the_main_routes_ignore_credentials(client: APIClient, route: str) -> None:
    client.credentials(HTTP_AUTHORIZATION="Basic nonsense")
    response = client.post(f"/models/{route}", {"symbols": ["SAMPLE1"]}, format="json")
    assert response.status_code == 200
