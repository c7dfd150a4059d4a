"""The groups of staff, and the permissions that exist."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from forecasting.models import ModelVersion, Training
from forecasting.models.trainings import TrainingState
from tests.admin_pages import MODELS, Rows, act, one_of_each, page, text_of
from tests.factories import make_symbol, make_training

pytestmark = pytest.mark.django_db

CHANGES = {"change_symbol", "change_modelversion", "change_training", "add_key", "change_key"} | {
    f"{verb}_webhook" for verb in ("add", "change", "delete")
}


def member(group: str) -> Client:
    """A client that is logged in as staff of the group."""
    user = User.objects.create_user("ana", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def rows() -> Rows:
    """One row of each table."""
    return one_of_each()


@pytest.mark.parametrize("group", ["Viewer", "Operator"])
def test_both_groups_see_every_page(rows: Rows, group: str) -> None:
    client = member(group)
    for model in MODELS:
        assert page(model, "change", rows[model].pk) in text_of(client, page(model, "changelist"))
    assert client.get(reverse("admin:auth_user_changelist")).status_code == 403


def test_an_operator_cancels_a_training() -> None:
    training = make_training(make_symbol())
    assert act(member("Operator"), Training, "cancel", training) == ["1 training cancelled."]


def test_a_viewer_cancels_no_training() -> None:
    training = make_training(make_symbol())
    act(member("Viewer"), Training, "cancel", training)
    training.refresh_from_db()
    assert training.state == TrainingState.QUEUED


@pytest.mark.parametrize(("group", "status"), [("Viewer", 403), ("Operator", 302)])
def test_only_an_operator_activates_a_version(rows: Rows, group: str, status: int) -> None:
    address = reverse("admin:forecasting_modelversion_activate", args=[rows[ModelVersion].pk])
    assert member(group).post(address).status_code == status


def test_no_permission_exists_that_nobody_may_use() -> None:
    permissions = Permission.objects.filter(content_type__app_label="forecasting").exclude(codename__startswith="view_")
    assert set(permissions.values_list("codename", flat=True)) == CHANGES


def test_permissions_of_earlier_releases_are_deleted() -> None:
    content_type = ContentType.objects.get_for_model(Training)
    Permission.objects.create(codename="delete_training", name="x", content_type=content_type)
    with connection.schema_editor() as editor:
        import_module("forecasting.migrations.0021_permissions").delete_permissions(apps, editor)
    test_no_permission_exists_that_nobody_may_use()


def test_migrate_keeps_what_people_changed_in_a_group() -> None:
    viewer = Group.objects.get(name="Viewer")
    extra = Permission.objects.get(codename="view_user")
    viewer.permissions.set([extra])
    call_command("migrate", verbosity=0)
    assert extra in viewer.permissions.all()
    assert viewer.permissions.filter(codename="view_symbol").exists()
