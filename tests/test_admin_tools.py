"""The buttons of the admin: what they do, who may press them, and that the history of the row says who did."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from forecasting import registry
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import FilesState, VersionState
from tests.admin_pages import act, page, post, text_of
from tests.factories import make_symbol, make_training, make_version
from tests.small_model import publish_model

pytestmark = pytest.mark.django_db

SYMBOL_TOOLS = ("retrain", "pause", "resume", "pin", "unpin", "restore", "remove")


@pytest.fixture
def member() -> Callable[[str], Client]:
    """Makes a client that is logged in as staff of the given group."""

    def make(group: str) -> Client:
        user = User.objects.create_user(f"a {group}", is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        client = Client()
        client.force_login(user)
        return client

    return make


def history_of(row: Model) -> list[str]:
    """The lines of the row's history."""
    return [entry.get_change_message() for entry in LogEntry.objects.filter(object_id=row.pk).order_by("pk")]


# A symbol's page


def test_automatic_training_is_paused_and_resumed(admin_client: Client) -> None:
    symbol = make_symbol()
    post(admin_client, page(Symbol, "pause", symbol.pk))
    symbol.refresh_from_db()
    assert (symbol.paused_by, symbol.paused_at is None) == ("account admin", False)
    text = text_of(admin_client, page(Symbol, "change", symbol.pk))
    assert "by account admin on" in text
    assert "Resume automatic training" in text
    post(admin_client, page(Symbol, "resume", symbol.pk))
    assert list(Symbol.objects.trained_automatically()) == [symbol]
    assert history_of(symbol) == ["Automatic training paused.", "Automatic training resumed."]


def test_several_symbols_are_paused_in_the_list(admin_client: Client) -> None:
    symbols = [make_symbol("SAMPLE1"), make_symbol("SAMPLE2")]
    assert act(admin_client, Symbol, "pause", *symbols) == ["Automatic training paused."]
    assert not Symbol.objects.trained_automatically().exists()
    assert history_of(symbols[1]) == ["Automatic training paused."]
    assert act(admin_client, Symbol, "resume", *symbols) == ["Automatic training resumed."]
    assert Symbol.objects.trained_automatically().count() == 2


def test_the_active_version_is_pinned_and_unpinned(admin_client: Client) -> None:
    version = publish_model(symbol := make_symbol())
    post(admin_client, page(Symbol, "pin", symbol.pk))
    symbol.refresh_from_db()
    assert symbol.pinned_version == version
    assert "Unpin version" in text_of(admin_client, page(Symbol, "change", symbol.pk))
    post(admin_client, page(Symbol, "unpin", symbol.pk))
    symbol.refresh_from_db()
    assert symbol.pinned_version is None
    assert history_of(symbol) == ["Active version pinned.", "Version unpinned."]


def test_a_symbol_without_a_version_has_nothing_to_pin(admin_client: Client) -> None:
    symbol = make_symbol()
    assert "Pin version" not in text_of(admin_client, page(Symbol, "change", symbol.pk))
    answer = post(admin_client, page(Symbol, "pin", symbol.pk))
    assert answer == ["SAMPLE1 has no version of its own that could be pinned."]
    assert history_of(symbol) == []


def test_a_version_with_unusable_files_is_not_pinned(admin_client: Client) -> None:
    symbol = make_symbol()
    make_version(symbol)
    (answer,) = post(admin_client, page(Symbol, "pin", symbol.pk))
    assert answer.startswith("Not pinned, because the files cannot be used")


def test_a_symbol_is_retrained_on_its_page_and_the_message_links_to_the_training(admin_client: Client) -> None:
    symbol = make_symbol()
    response = admin_client.post(page(Symbol, "retrain", symbol.pk), follow=True)
    address = f"{page(Training, 'changelist')}?id__in={Training.objects.get().pk}"
    assert f'<a href="{address}">1 training started.</a>' in response.content.decode()
    assert history_of(symbol) == ["Training requested."]


def test_a_symbol_is_taken_out_of_service_only_after_a_question(admin_client: Client) -> None:
    symbol = make_symbol()
    training = make_training(symbol)
    assert "Take SAMPLE1 out of service?" in text_of(admin_client, page(Symbol, "remove", symbol.pk))
    assert Symbol.objects.in_service().exists()
    assert post(admin_client, page(Symbol, "remove", symbol.pk)) == ["SAMPLE1 is out of service."]
    training.refresh_from_db()
    assert training.state == TrainingState.CANCELLED
    assert history_of(symbol) == ["Taken out of service."]


def test_a_symbol_is_put_back(admin_client: Client) -> None:
    symbol = make_symbol(removed_at=timezone.now())
    assert "Retrain" not in text_of(admin_client, page(Symbol, "change", symbol.pk))
    post(admin_client, page(Symbol, "restore", symbol.pk))
    assert Symbol.objects.in_service().exists()
    assert history_of(symbol) == ["Put back into service."]


@pytest.mark.parametrize("tool", [tool for tool in SYMBOL_TOOLS if tool != "remove"])
def test_a_link_presses_no_button(admin_client: Client, tool: str) -> None:
    assert admin_client.get(page(Symbol, tool, make_symbol().pk)).status_code == 405


@pytest.mark.parametrize("tool", SYMBOL_TOOLS)
def test_a_viewer_presses_no_button_of_a_symbol(member: Callable[[str], Client], tool: str) -> None:
    symbol = make_symbol()
    assert member("Viewer").post(page(Symbol, tool, symbol.pk)).status_code == 403
    assert history_of(symbol) == []


def test_a_viewer_sees_no_buttons_of_a_symbol_but_the_file(member: Callable[[str], Client]) -> None:
    symbol = make_symbol()
    text = text_of(member("Viewer"), page(Symbol, "change", symbol.pk))
    assert "Retrain" not in text
    assert "tool-button" not in text
    assert page(ModelVersion, "csv") not in text
    assert f"/forecast/csv/?symbol__id__exact={symbol.pk}" in text


def test_an_operator_presses_every_button(member: Callable[[str], Client]) -> None:
    publish_model(symbol := make_symbol())
    client = member("Operator")
    assert {client.post(page(Symbol, tool, symbol.pk)).status_code for tool in SYMBOL_TOOLS} == {302}
    assert len(history_of(symbol)) == len(SYMBOL_TOOLS)


# A version's page


def test_an_older_version_is_activated_and_pinned(admin_client: Client) -> None:
    symbol = make_symbol()
    old, new = publish_model(symbol), publish_model(symbol)
    assert "Activate and pin" in text_of(admin_client, page(ModelVersion, "change", old.pk))
    answer = post(admin_client, page(ModelVersion, "pin", old.pk))
    assert answer == ["SAMPLE1 v1 is active, and stays so until it is unpinned."]
    new.refresh_from_db()
    assert new.state == VersionState.RETIRED
    assert history_of(old) == ["Activated and pinned."]
    assert publish_model(symbol).decision.startswith("Not activated: version 1 is pinned.")


def test_the_pinned_version_is_unpinned(admin_client: Client) -> None:
    version = publish_model(make_symbol())
    registry.pin(version, by="account ana")
    assert "Unpin" in text_of(admin_client, page(ModelVersion, "change", version.pk))
    answer = post(admin_client, page(ModelVersion, "unpin", version.pk))
    assert answer == ["SAMPLE1 v1 may be replaced by the next training."]
    assert Symbol.objects.get().pinned_version is None


def test_unpinning_a_version_that_is_not_pinned_leaves_the_pin(admin_client: Client) -> None:
    symbol = make_symbol()
    first, second = publish_model(symbol), publish_model(symbol)
    registry.pin(second, by="account ana")
    post(admin_client, page(ModelVersion, "unpin", first.pk))
    assert Symbol.objects.get().pinned_version == second


def test_a_base_is_not_pinned(admin_client: Client) -> None:
    base = make_version(None, state=VersionState.RETIRED)
    text = text_of(admin_client, page(ModelVersion, "change", base.pk))
    assert "Activate this version" in text
    assert "Activate and pin" not in text


@pytest.mark.parametrize("state", [FilesState.DAMAGED, FilesState.REMOVED])
def test_a_version_without_usable_files_has_no_buttons(admin_client: Client, state: FilesState) -> None:
    version = make_version(make_symbol(), state=VersionState.RETIRED, files_state=state)
    assert "tool-button" not in text_of(admin_client, page(ModelVersion, "change", version.pk))


@pytest.mark.parametrize("button", ["activate", "pin", "unpin"])
def test_a_viewer_presses_no_button_of_a_version(member: Callable[[str], Client], button: str) -> None:
    version = make_version(make_symbol(), state=VersionState.RETIRED)
    assert member("Viewer").post(page(ModelVersion, button, version.pk)).status_code == 403
