"""The groups of staff: Viewer sees everything, Operator also runs the actions."""

from typing import Any

from django.db.models import Q

WATCHED = ("forecasting", "django_q")  # apps
CREDENTIALS = ("key", "webhook")  # for superusers, and accounts that get these permissions by name
ACTED_UPON = ("symbol", "modelversion", "training")  # retrain, activate, cancel

LOG = Q(content_type__app_label="admin", codename="view_logentry")  # who did what
VIEW = LOG | Q(content_type__app_label__in=WATCHED, codename__startswith="view_") & ~Q(content_type__model__in=CREDENTIALS)
ACT = Q(content_type__app_label="forecasting", codename__in=[f"change_{name}" for name in ACTED_UPON])
GROUPS = {"Viewer": VIEW, "Operator": VIEW | ACT}


def ensure_groups(*, using: str, **_: Any) -> None:
    """Receiver of the end of `migrate`: adds what is missing, and takes nothing from anybody."""
    from django.contrib.auth.models import Group, Permission  # noqa: PLC0415 - apps must be loaded first

    for name, condition in GROUPS.items():
        group, _created = Group.objects.using(using).get_or_create(name=name)
        group.permissions.add(*Permission.objects.using(using).filter(condition))
