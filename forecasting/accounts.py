"""What accounts have changed: Django's log of the admin, which also has changes through the API, and outlives its accounts."""

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Model

DELETED = "deleted-accounts"  # name of the account that the log of deleted ones passes to; nobody can log in with it


def log_change(account: AbstractBaseUser | AnonymousUser, row: Model, message: str, *, action: int = CHANGE) -> None:
    """Notes a change by an account that is logged in, in the row's history, like an action of the admin does."""
    LogEntry.objects.log_actions(str(account.pk), [row], action, change_message=message, single_object=True)


def keep_log(*, instance: AbstractBaseUser, **_: Any) -> None:
    """Receiver of an account's deletion: Django would delete its log with it. Each line keeps its text, with the account's name."""
    name = instance.get_username()
    entries = list(LogEntry.objects.filter(user=instance.pk)) if name != DELETED else []
    if not entries:
        return
    defaults = {"is_active": False, "password": make_password(None)}
    heir, _created = get_user_model().objects.get_or_create(username=DELETED, defaults=defaults)
    for entry in entries:
        entry.change_message = f"{entry.get_change_message()} (by the deleted account {name})".lstrip()
        entry.user = heir
    LogEntry.objects.bulk_update(entries, ["user", "change_message"], batch_size=500)
