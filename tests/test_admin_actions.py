"""Admin actions: they work for users with the permission, and nothing else changes a row."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django_q.models import Failure, OrmQ, Schedule, Success
from pytest_django import Settings

from forecasting import registry
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import FilesState, VersionState
from forecasting.training import queue as training_queue
from tests.admin_pages import MODELS, Rows, act, one_of_each, page, post, text_of
from tests.factories import make_symbol, make_training, make_version
from tests.small_model import trained_model

pytestmark = pytest.mark.django_db


def published(symbol: Symbol) -> ModelVersion:
    """A version with real files, as the newest and active one."""
    training = training_queue.claim(among=[make_training(symbol).pk])
    assert training
    return registry.publish(trained_model(symbol=symbol.ticker), training_id=training.pk, fence=training.fence)


@pytest.fixture
def rows() -> Rows:
    """One row of each table."""
    return one_of_each()


@pytest.fixture
def staff() -> Callable[..., Client]:
    """Makes a client that is logged in as staff with the given permissions on the project's tables."""

    def make(*actions: str) -> Client:
        user = User.objects.create_user("ana", is_staff=True)
        for action in actions:
            user.user_permissions.add(*Permission.objects.filter(codename__startswith=f"{action}_"))
        client = Client()
        client.force_login(user)
        return client

    return make


def test_retraining_starts_a_training_for_each_selected_symbol(admin_client: Client) -> None:
    symbols = [make_symbol("SAMPLE1"), make_symbol("SAMPLE2")]

    answer = act(admin_client, Symbol, "retrain", *symbols)

    assert answer == ["2 trainings started."]
    assert Training.objects.active().of(symbols).count() == 2
    assert OrmQ.objects.count() >= 1
    assert LogEntry.objects.filter(object_repr="SAMPLE1").get().change_message == "Training requested."


def test_a_symbol_out_of_service_is_not_retrained(admin_client: Client) -> None:
    symbols = [make_symbol("SAMPLE1", removed_at=timezone.now()), make_symbol("SAMPLE2")]

    answer = act(admin_client, Symbol, "retrain", *symbols)

    assert answer == ["Not trained, because out of service: SAMPLE1.", "1 training started."]
    assert Training.objects.get().symbol == symbols[1]


def test_symbols_out_of_service_can_be_listed(admin_client: Client) -> None:
    make_symbol("SAMPLE1", removed_at=timezone.now())
    make_symbol("SAMPLE2")
    text = text_of(admin_client, page(Symbol, "changelist"), removed_at__isempty="0")
    assert "SAMPLE1" in text
    assert "SAMPLE2" not in text


def test_retraining_makes_a_waiting_training_urgent(admin_client: Client) -> None:
    symbol = make_symbol()
    training = make_training(symbol, reason="too_old")

    answer = act(admin_client, Symbol, "retrain", symbol)

    assert answer == ["0 trainings started, 1 training under way already."]
    training.refresh_from_db()
    assert training.reason == "requested"


def test_retraining_stops_at_the_queues_limit(admin_client: Client, settings: Settings) -> None:
    settings.TRAIN_QUEUE_LIMIT = 1

    answer = act(admin_client, Symbol, "retrain", make_symbol("SAMPLE1"), make_symbol("SAMPLE2"))

    assert answer == ["1 training started.", "1 training not started: the queue is full (1 waiting); try again later."]
    assert Training.objects.count() == 1
    assert LogEntry.objects.count() == 1


def test_activating_a_version_retires_the_active_one(admin_client: Client) -> None:
    symbol = make_symbol()
    old, new = published(symbol), published(symbol)

    answer = post(admin_client, page(ModelVersion, "activate", old.pk))

    assert answer == ["SAMPLE1 v1 is now active."]
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.state, new.state, old.decision) == (VersionState.ACTIVE, VersionState.RETIRED, "First version.")
    at = date_format(timezone.localtime(old.activated_at), "DATETIME_FORMAT")
    assert f"by account admin on {at}" in text_of(admin_client, page(ModelVersion, "change", old.pk))


def test_a_version_with_damaged_files_is_not_activated(admin_client: Client) -> None:
    symbol = make_symbol()
    old, new = published(symbol), published(symbol)
    (registry.models_root() / old.folder / "model.onnx").unlink()

    answer = post(admin_client, page(ModelVersion, "activate", old.pk))

    assert answer == ["SAMPLE1 v1 was not activated, because its files cannot be used: model.onnx is missing."]
    new.refresh_from_db()
    assert new.state == VersionState.ACTIVE


def test_a_version_whose_files_were_removed_says_so_and_has_no_button(admin_client: Client) -> None:
    symbol = make_symbol()
    old, _ = published(symbol), published(symbol)
    ModelVersion.objects.filter(pk=old.pk).update(files_state=FilesState.REMOVED)

    shown = admin_client.get(page(ModelVersion, "change", old.pk)).content.decode()
    answer = post(admin_client, page(ModelVersion, "activate", old.pk))

    assert "removed</span>" in shown
    assert "Activate this version" not in shown
    assert answer == [
        "SAMPLE1 v1 was not activated, because its files cannot be used: "
        "They were removed: only the last 5 versions of a symbol keep their files."
    ]


def test_activation_is_not_done_by_a_link(admin_client: Client) -> None:
    version = make_version(make_symbol(), state=VersionState.RETIRED)

    assert admin_client.get(page(ModelVersion, "activate", version.pk)).status_code == 405


def test_a_version_that_is_not_there_cannot_be_activated(admin_client: Client) -> None:
    assert admin_client.post(page(ModelVersion, "activate", 1)).status_code == 404


def test_cancelling_ends_those_trainings_that_are_active(admin_client: Client) -> None:
    waiting = make_training(make_symbol("SAMPLE1"))
    ended = make_training(make_symbol("SAMPLE2"), state=TrainingState.SUCCEEDED)

    answer = act(admin_client, Training, "cancel", waiting, ended)

    assert answer == ["1 training cancelled.", "1 training had already ended."]
    waiting.refresh_from_db()
    assert waiting.state == TrainingState.CANCELLED


def test_the_log_says_who_cancelled_a_training(staff: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    act(staff("view", "change"), Training, "cancel", make_training(make_symbol()))

    assert "training cancelled by account ana" in caplog.messages


@pytest.mark.parametrize("model", MODELS)
def test_staff_who_may_only_view_see_pages_without_actions(staff: Callable[..., Client], rows: Rows, model: type[Model]) -> None:
    client = staff("view")

    assert 'name="action"' not in text_of(client, page(model, "changelist"))
    text_of(client, page(model, "change", rows[model].pk))


@pytest.mark.parametrize("model", MODELS)
def test_staff_without_permissions_see_nothing(staff: Callable[..., Client], rows: Rows, model: type[Model]) -> None:
    assert staff().get(page(model, "changelist")).status_code == 403


def test_staff_who_may_only_view_start_no_training(staff: Callable[..., Client]) -> None:
    act(staff("view"), Symbol, "retrain", make_symbol())

    assert not Training.objects.exists()


def test_staff_who_may_only_view_cancel_no_training(staff: Callable[..., Client]) -> None:
    training = make_training(make_symbol())

    act(staff("view"), Training, "cancel", training)

    training.refresh_from_db()
    assert training.state == TrainingState.QUEUED


def test_staff_who_may_only_view_activate_no_version(staff: Callable[..., Client]) -> None:
    version = make_version(make_symbol(), state=VersionState.RETIRED)
    client = staff("view")

    assert "Activate this version" not in text_of(client, page(ModelVersion, "change", version.pk))
    assert client.post(page(ModelVersion, "activate", version.pk)).status_code == 403


def test_staff_who_may_change_symbols_retrain_them(staff: Callable[..., Client]) -> None:
    symbol = make_symbol()

    act(staff("view", "change"), Symbol, "retrain", symbol)

    assert Training.objects.active().of([symbol]).exists()


def test_the_active_version_has_no_button(admin_client: Client) -> None:
    active, retired = make_version(make_symbol("SAMPLE1")), make_version(make_symbol("SAMPLE2"), state=VersionState.RETIRED)

    assert "Activate this version" not in text_of(admin_client, page(ModelVersion, "change", active.pk))
    assert "Activate this version" in text_of(admin_client, page(ModelVersion, "change", retired.pk))


@pytest.mark.parametrize("model", MODELS)
def test_nobody_adds_edits_or_deletes_a_row(admin_client: Client, rows: Rows, model: type[Model]) -> None:
    key = rows[model].pk
    addresses = [page(model, "change", key), page(model, "delete", key)]
    if model is not Symbol:  # its page asks the price source for new ones
        addresses.append(page(model, "add"))

    assert {admin_client.post(address, {"post": "yes"}).status_code for address in addresses} == {403}
    assert model._default_manager.filter(pk=key).exists()


@pytest.mark.parametrize("model", [Schedule, Success, Failure, OrmQ])
def test_background_tasks_have_no_actions(admin_client: Client, rows: Rows, model: type[Model]) -> None:
    assert 'name="action"' not in text_of(admin_client, page(model, "changelist"))


def test_superusers_still_edit_users(admin_client: Client) -> None:
    answer = admin_client.post(reverse("admin:auth_group_add"), {"name": "analysts"})

    assert answer.status_code == 302
