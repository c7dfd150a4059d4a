# ruff: noqa: F811 - the fixture is imported
"""Retraining in the admin: from the list, and of what has failed."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from forecasting.models import Symbol, Training
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.training import pausing
from tests.admin_pages import act, page, post, text_of
from tests.factories import make_symbol, make_training
from tests.test_admin_tools import history_of, member  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db


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


@pytest.mark.parametrize("action", ["retrain", "pause", "resume"])
def test_an_action_takes_as_many_queries_for_ten_symbols_as_for_two(admin_client: Client, action: str) -> None:
    def queries_with(count: int) -> int:
        symbols = [make_symbol(f"SAMPLE{count}X{number}") for number in range(count)]
        with CaptureQueriesContext(connection) as queries:
            act(admin_client, Symbol, action, *symbols)
        assert history_of(symbols[-1])
        return len(queries)

    queries_with(1)  # what a process looks up once
    assert queries_with(2) == queries_with(10)


def test_after_retraining_the_trainings_are_shown_and_loaded_again_until_they_end(admin_client: Client) -> None:
    make_training(make_symbol("OTHER"))
    symbols = [make_symbol(f"SAMPLE{number}") for number in range(5)]
    form = {"action": "retrain", "_selected_action": [symbol.pk for symbol in symbols]}
    response = admin_client.post(page(Symbol, "changelist"), form, follow=True)
    assert response.request["PATH_INFO"] == page(Training, "changelist")
    assert {training.symbol for training in response.context["cl"].result_list} == {*symbols}
    assert "watched.js" in response.content.decode()
    ended = make_training(symbols[0], state=TrainingState.SUCCEEDED)
    assert "watched.js" not in text_of(admin_client, page(Training, "changelist"), id__in=str(ended.pk))


def test_paused_symbols_are_retrained_if_people_ask(admin_client: Client) -> None:
    symbol = make_symbol()
    pausing.pause([symbol], by="account ana")
    assert act(admin_client, Symbol, "retrain", symbol) == ["1 training started."]
