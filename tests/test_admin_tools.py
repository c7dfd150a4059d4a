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
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.models.versions import VersionState
from forecasting.training import pausing
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


@pytest.mark.parametrize("button", ["activate", "pin", "unpin"])
def test_a_viewer_presses_no_button_of_a_version(member: Callable[[str], Client], button: str) -> None:
    version = make_version(make_symbol(), state=VersionState.RETIRED)
    assert member("Viewer").post(page(ModelVersion, button, version.pk)).status_code == 403


# A training's page


def test_a_failed_training_says_why_and_is_tried_again(admin_client: Client) -> None:
    failed = make_training(make_symbol(), state=TrainingState.FAILED, error="Only 12 bars, 490 are needed.")
    text = text_of(admin_client, page(Training, "change", failed.pk))
    assert '<p class="errornote">It failed: Only 12 bars, 490 are needed.</p>' in text
    assert "Try again" in text
    assert post(admin_client, page(Training, "again", failed.pk)) == ["1 training started."]
    training = Training.objects.active().get()
    assert (training.reason, training.requested_by) == (TrainingReason.REQUESTED, "account admin")
    assert history_of(failed) == ["Tried again."]


def test_a_failed_training_of_the_base_is_tried_again(admin_client: Client) -> None:
    failed = make_training(None, state=TrainingState.FAILED)
    post(admin_client, page(Training, "again", failed.pk))
    assert Training.objects.active().get().symbol is None


def test_a_training_of_a_symbol_out_of_service_is_not_tried_again(admin_client: Client) -> None:
    failed = make_training(make_symbol(removed_at=timezone.now()), state=TrainingState.FAILED)
    answer = post(admin_client, page(Training, "again", failed.pk))
    assert answer[0] == "Not trained, because out of service: SAMPLE1."
    assert not Training.objects.active().exists()
    assert history_of(failed) == []


def test_a_training_that_succeeded_is_not_tried_again(admin_client: Client) -> None:
    training = make_training(make_symbol(), state=TrainingState.SUCCEEDED)
    assert "Try again" not in text_of(admin_client, page(Training, "change", training.pk))
    assert "Try again" not in text_of(admin_client, page(Training, "changelist"))


def test_a_viewer_tries_nothing_again(member: Callable[[str], Client]) -> None:
    failed = make_training(make_symbol(), state=TrainingState.FAILED)
    client = member("Viewer")
    assert "Try again" not in text_of(client, page(Training, "change", failed.pk))
    assert "Try again" not in text_of(client, page(Training, "changelist"))
    assert client.post(page(Training, "again", failed.pk)).status_code == 403


# Retraining from the list


def test_more_than_ten_symbols_are_retrained_only_after_a_question(admin_client: Client) -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(11)]
    keys = [symbol.pk for symbol in symbols]
    form = {"action": "retrain", "_selected_action": keys}
    question = admin_client.post(page(Symbol, "changelist"), form)
    assert "Retrain 11 symbols?" in question.content.decode()
    assert not Training.objects.exists()
    assert post(admin_client, page(Symbol, "changelist"), **form, confirmed="1") == ["11 trainings started."]


def test_all_symbols_on_all_pages_are_retrained_after_a_question(admin_client: Client) -> None:
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(60)]
    form = {"action": "retrain", "_selected_action": [symbols[0].pk], "select_across": "1"}
    question = admin_client.post(page(Symbol, "changelist"), form)
    assert dict(question.context["fields"])["select_across"] == "1"
    assert post(admin_client, page(Symbol, "changelist"), **form, confirmed="1") == ["60 trainings started."]


def test_after_retraining_the_trainings_are_shown_and_loaded_again_until_they_end(admin_client: Client) -> None:
    make_training(make_symbol("OTHER"))
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(5)]
    form = {"action": "retrain", "_selected_action": [symbol.pk for symbol in symbols]}
    response = admin_client.post(page(Symbol, "changelist"), form, follow=True)
    assert response.request["PATH_INFO"] == page(Training, "changelist")
    assert {training.symbol for training in response.context["cl"].result_list} == {*symbols}
    assert response["Refresh"] == "5"
    ended = make_training(symbols[0], state=TrainingState.SUCCEEDED)
    assert "Refresh" not in admin_client.get(page(Training, "changelist"), {"id__in": ended.pk})


def test_paused_symbols_are_retrained_if_people_ask(admin_client: Client) -> None:
    symbol = make_symbol()
    pausing.pause([symbol], by="account ana")
    assert act(admin_client, Symbol, "retrain", symbol) == ["1 training started."]
