"""The log of changes outlives the accounts that made them."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from forecasting.accounts import DELETED, log_change
from forecasting.models import Symbol
from tests.admin_pages import page, text_of
from tests.factories import make_symbol

pytestmark = pytest.mark.django_db


def logged(name: str, symbol: Symbol) -> User:
    """An account that has changed the symbol."""
    account = User.objects.create_user(name)
    log_change(account, symbol, "Training requested.")
    return account


@pytest.mark.parametrize("delete", [User.delete, lambda account: User.objects.filter(pk=account.pk).delete()])
def test_the_log_of_a_deleted_account_keeps_its_text_and_name(delete: Callable[[User], object]) -> None:
    delete(logged("ana", make_symbol()))
    entry = LogEntry.objects.get()
    assert entry.get_change_message() == "Training requested. (by the deleted account ana)"
    assert (entry.user.get_username(), entry.user.is_active, entry.user.has_usable_password()) == (DELETED, False, False)


def test_accounts_deleted_in_the_admin_stay_in_the_history_of_a_row(admin_client: Client) -> None:
    symbol = make_symbol()
    accounts = [logged(name, symbol) for name in ("ana", "ben")]
    form = {"action": "delete_selected", "_selected_action": [each.pk for each in accounts], "post": "yes"}
    admin_client.post(reverse("admin:auth_user_changelist"), form)
    assert not User.objects.filter(username__in=["ana", "ben"]).exists()
    text = text_of(admin_client, page(Symbol, "history", symbol.pk))
    assert all(f"Training requested. (by the deleted account {name})" in text for name in ("ana", "ben"))


def test_a_message_of_the_admins_own_forms_becomes_text(admin_client: Client, admin_user: User) -> None:
    admin_client.post(reverse("admin:auth_group_add"), {"name": "analysts"})
    admin_user.delete()
    assert LogEntry.objects.get().change_message == "Added. (by the deleted account admin)"


def test_an_account_that_did_nothing_leaves_nothing() -> None:
    User.objects.create_user("ana").delete()
    assert not User.objects.exists()


def test_the_heirs_own_log_goes_with_it() -> None:
    logged("ana", make_symbol()).delete()
    User.objects.get(username=DELETED).delete()
    assert not LogEntry.objects.exists()
