"""Limits of logins, in the admin and with HTTP Basic."""

from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings
from time_machine import TimeMachineFixture

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"  # noqa: S105 - of a test
GUESS = "a guess at it"
HERE, ELSEWHERE = "203.0.113.9", "198.51.100.1"
ROUTE = "/models/trainings/1/cancel"
hashed: list[str] = []


class NoticedHasher(MD5PasswordHasher):
    """A hasher that leaves a trace of each password."""

    def encode(self, password: str, salt: str) -> str:
        """Like the original."""
        hashed.append(password)
        return str(super().encode(password, salt))


@pytest.fixture(autouse=True)
def ana() -> User:
    """An administrator."""
    return User.objects.create_superuser("ana", password=PASSWORD)


def login(name: str = "ana", password: str = GUESS, *, address: str = HERE, **extra: Any) -> Any:
    """The answer to the admin's login form."""
    form = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address, **extra).post(reverse("admin:login") + "?next=/admin/", form)


def basic(name: str = "ana", password: str = GUESS, *, address: str = HERE, **headers: str) -> Any:
    """The answer to a staff route with HTTP Basic; 404 after a successful login, because there is no training."""
    credentials = b64encode(f"{name}:{password}".encode()).decode()
    return Client(REMOTE_ADDR=address, headers={"Authorization": f"Basic {credentials}", **headers}).post(ROUTE)


def test_the_fifth_failure_locks_the_account_for_this_address() -> None:
    assert [basic().status_code for _ in range(5)] == [401, 401, 401, 401, 429]
    assert basic(password=PASSWORD).status_code == 429


def test_a_locked_login_of_the_api_is_answered_as_json() -> None:
    answer = [basic() for _ in range(5)][-1]
    assert answer.json() == {"error": "Too many failed logins from this address. Try again in 15 minutes.", "details": {}}
    assert answer["Retry-After"] == "900"


def test_a_locked_login_of_the_admin_is_a_page() -> None:
    answer = [login() for _ in range(5)][-1]
    assert answer.status_code == 429
    assert "Too many failed logins from this address. Try again in 15 minutes." in answer.content.decode()
    assert answer["Retry-After"] == "900"


def test_the_form_and_http_basic_share_one_count() -> None:
    for _ in range(4):
        login()
    assert basic().status_code == 429


def test_a_locked_login_hashes_no_password(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.NoticedHasher"]
    for _ in range(5):
        basic()
    hashed.clear()

    basic(password=GUESS)
    login(password=GUESS)

    assert hashed == []


def test_failures_that_another_process_stored_count() -> None:
    AccessAttempt.objects.create(
        username="ana", ip_address=HERE, user_agent="x", failures_since_start=5, attempt_time=timezone.now()
    )
    assert basic(password=PASSWORD).status_code == 429


def test_the_owner_still_logs_in_from_elsewhere() -> None:
    for _ in range(8):
        login()
    assert login(password=PASSWORD, address=ELSEWHERE).status_code == 302


def test_an_address_that_guesses_many_accounts_is_locked_for_all_of_them() -> None:
    statuses = [basic(f"user{number}").status_code for number in range(20)]
    assert statuses == [401] * 19 + [429]
    assert basic(password=PASSWORD).status_code == 429
    assert basic(password=PASSWORD, address=ELSEWHERE).status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "User-Agent"])
def test_other_headers_for_each_guess_do_not_evade_the_lock(header: str) -> None:
    assert [basic(**{header: f"10.0.0.{number}"}).status_code for number in range(6)][-1] == 429


def test_a_header_that_cannot_be_stored_is_not_stored() -> None:
    assert basic(**{"User-Agent": "a\0b", "Accept": "*/*\0"}).status_code == 401


def test_a_lock_ends_although_guesses_went_on(time_machine: TimeMachineFixture) -> None:
    start = timezone.now()
    time_machine.move_to(start)
    for _ in range(5):
        basic()
    time_machine.move_to(start + timedelta(minutes=14))
    assert basic().status_code == 429
    time_machine.move_to(start + timedelta(minutes=16))
    assert basic(password=PASSWORD).status_code == 404


def test_a_login_forgets_the_failures_of_its_account() -> None:
    for _ in range(4):
        login()
    login(password=PASSWORD)
    assert basic().status_code == 401


def test_a_login_forgets_no_guesses_at_other_accounts() -> None:
    for number in range(19):
        basic(f"user{number}")
    login(password=PASSWORD)
    assert basic("user20").status_code == 429


def test_old_failures_are_deleted_at_the_next_failure(time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(timezone.now())
    basic("someone")
    time_machine.shift(timedelta(minutes=16))
    basic()
    assert [attempt.username for attempt in AccessAttempt.objects.all()] == ["ana"]


def test_no_password_and_no_token_of_a_form_is_stored() -> None:
    login(password=GUESS)
    stored = AccessAttempt.objects.get()
    assert GUESS not in stored.post_data
    assert "ana" not in stored.post_data


@pytest.mark.parametrize("name", ["an\0a", "a" * 300])
def test_a_name_that_cannot_be_stored_is_a_wrong_login(name: str) -> None:
    assert basic(name).status_code == 401


@pytest.mark.parametrize("password", ["short1x", "password1234", "20260101123456", "ana.operator.1"])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password, User(username="ana.operator"))


def test_a_long_password_is_accepted() -> None:
    validate_password(PASSWORD, User(username="ana"))
