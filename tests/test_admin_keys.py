"""API keys in the admin: made, shown once, revoked; nobody gives a key to another account than their own."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from forecasting.callers.keys import valid_key
from forecasting.models import Key, Webhook
from tests.admin_pages import page, post, text_of
from tests.api.keys import make_key

pytestmark = pytest.mark.django_db

NEW = {"name": "robot", "scope": "train", "user": "", "expiry_date_0": "", "expiry_date_1": ""}


@pytest.fixture
def ana(client: Client) -> User:
    """Staff who may make and change keys, logged in; no superuser."""
    user = User.objects.create_user("ana", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__model="key"))
    client.force_login(user)
    return user


def test_a_new_key_is_shown_once_and_works(admin_client: Client) -> None:
    (message,) = [each for each in post(admin_client, page(Key, "add"), **NEW) if "Store it now" in each]
    text = message.removeprefix("The key of robot is ").split()[0]
    key = valid_key(text)
    assert key is not None
    assert (key.name, key.scope, key.user) == ("robot", "train", None)
    assert text not in text_of(admin_client, page(Key, "changelist")) + text_of(admin_client, page(Key, "change", key.pk))


def test_a_key_is_revoked(admin_client: Client) -> None:
    key, text = make_key()
    post(admin_client, page(Key, "change", key.pk), **(NEW | {"revoked": "on"}))
    assert valid_key(text) is None


def test_a_revoked_key_stays_revoked(admin_client: Client) -> None:
    key, _ = make_key(revoked=True)
    post(admin_client, page(Key, "change", key.pk), **NEW)
    key.refresh_from_db()
    assert key.revoked


def test_what_a_key_may_do_cannot_be_changed(admin_client: Client, admin_user: User) -> None:
    key, _ = make_key()
    post(admin_client, page(Key, "change", key.pk), **(NEW | {"user": admin_user.pk}))
    key.refresh_from_db()
    assert (key.scope, key.user) == ("read", None)


def test_a_name_is_given_once_and_stays(admin_client: Client) -> None:
    key, _ = make_key(name="robot", revoked=True)
    post(admin_client, page(Key, "change", key.pk), **(NEW | {"name": "other"}))
    assert "There is, or was, a key of this name" in admin_client.post(page(Key, "add"), NEW).content.decode()
    assert list(Key.objects.values_list("name", flat=True)) == ["robot"]
    key.delete()
    Webhook.objects.create(url="https://example.org/hook", events=["training.ended"], created_by="key robot")
    assert "There is, or was, a key of this name" in admin_client.post(page(Key, "add"), NEW).content.decode()


def test_keys_go_with_their_account(admin_client: Client, ana: User) -> None:
    make_key(user=ana)
    admin_client.post(reverse("admin:auth_user_delete", args=[ana.pk]), {"post": "yes"})
    assert not Key.objects.exists()
    assert not User.objects.filter(pk=ana.pk).exists()


def test_a_superuser_makes_keys_for_other_staff(admin_client: Client) -> None:
    bob = User.objects.create_user("bob", is_staff=True)
    post(admin_client, page(Key, "add"), **(NEW | {"user": bob.pk}))
    assert Key.objects.get().user == bob


@pytest.mark.parametrize("account", ["not staff", "inactive"])
def test_no_key_is_made_for_an_account_that_may_not_act(admin_client: Client, account: str) -> None:
    bob = User.objects.create_user("bob", is_staff=account == "inactive", is_active=account != "inactive")
    post(admin_client, page(Key, "add"), **(NEW | {"user": bob.pk}))
    assert not Key.objects.exists()


def test_staff_make_keys_for_themselves(client: Client, ana: User) -> None:
    post(client, page(Key, "add"), **(NEW | {"user": ana.pk}))
    assert Key.objects.get().user == ana


def test_staff_cannot_make_a_key_for_a_superuser(client: Client, ana: User, admin_user: User) -> None:
    post(client, page(Key, "add"), **(NEW | {"user": admin_user.pk}))
    assert not Key.objects.exists()


def test_staff_cannot_change_the_key_of_another_account_into_their_own(client: Client, ana: User, admin_user: User) -> None:
    key, _ = make_key(user=admin_user)
    post(client, page(Key, "change", key.pk), **(NEW | {"user": ana.pk}))
    key.refresh_from_db()
    assert key.user == admin_user


def test_keys_cannot_be_deleted(admin_client: Client) -> None:
    key, _ = make_key()
    assert admin_client.post(page(Key, "delete", key.pk), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in text_of(admin_client, page(Key, "changelist"))


def test_the_librarys_own_keys_are_not_shown(admin_client: Client) -> None:
    apps = admin_client.get(reverse("admin:index")).context["app_list"]
    assert "rest_framework_api_key" not in [app["app_label"] for app in apps]
