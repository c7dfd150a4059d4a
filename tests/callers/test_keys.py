"""API keys: which are valid, how soon a change counts, and what a check costs."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from forecasting.callers import keys
from forecasting.callers.keys import valid_key
from forecasting.models import Key
from forecasting.runtime.processes import wait_for
from tests.api.keys import make_key

pytestmark = pytest.mark.django_db


def test_a_key_is_found_by_its_text() -> None:
    key, text = make_key()
    assert valid_key(text) == key


def test_the_database_does_not_hold_the_key() -> None:
    _, text = make_key()
    stored = str(Key.objects.values().get())
    assert text not in stored
    assert text.split(".")[1] not in stored


@pytest.mark.parametrize(
    "values", [{"revoked": True}, {"expiry_date": timezone.now() - timedelta(seconds=1)}], ids=["revoked", "expired"]
)
def test_a_key_that_may_no_longer_be_used_is_not_valid(values: dict[str, Any]) -> None:
    _, text = make_key(**values)
    assert valid_key(text) is None


def test_a_key_ends_with_its_account() -> None:
    _, text = make_key(user=User.objects.create_user("ana", is_staff=True, is_active=False))
    assert valid_key(text) is None


def test_a_wrong_secret_is_not_valid() -> None:
    _, text = make_key()
    assert valid_key(text[:-1] + ("a" if text[-1] != "a" else "b")) is None


@pytest.mark.parametrize("text", ["", ".", "\0" * 41, "abcdefgh." + "\0" * 32, "abcdefgh." + "\u00e9" * 32, "a" * 10_000])
def test_what_cannot_be_a_key_costs_no_query(text: str, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        assert valid_key(text) is None


def test_a_key_costs_one_query_and_then_none_for_a_while(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    _, text = make_key(last_used_at=timezone.now(), user=User.objects.create_user("ana", is_staff=True))
    period = 1
    with django_assert_num_queries(1):
        keys._valid_key(text, period)
        keys._valid_key(text, period)


def test_a_revoked_key_is_refused_within_a_few_seconds() -> None:
    key, text = make_key()
    assert valid_key(text)
    key.revoked = True
    key.save()
    assert wait_for(lambda: valid_key(text) is None, seconds=keys.CHECKED_SECONDS + 1, every_s=0.05)


def test_the_last_use_is_noted() -> None:
    key, text = make_key()
    valid_key(text)
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert timezone.now() - key.last_used_at < timedelta(minutes=1)


@pytest.mark.parametrize(("seconds", "noted"), [(50, False), (70, True)])
def test_the_last_use_is_noted_at_most_once_a_minute(seconds: int, noted: bool) -> None:
    used = timezone.now() - timedelta(seconds=seconds)
    key, text = make_key(last_used_at=used)
    valid_key(text)
    key.refresh_from_db()
    assert (key.last_used_at != used) is noted
