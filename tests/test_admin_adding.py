"""The page that adds symbols: what the price source said about each name."""

from pathlib import Path

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from forecasting.models import RequestedName, Symbol, Training
from forecasting.models.trainings import TrainingReason
from tests import fake_yahoo
from tests.admin_pages import page, text_of
from tests.factories import make_symbol, make_version
from tests.fake_yahoo import FakeYahoo
from tests.market.histories import write

pytestmark = pytest.mark.django_db


def answers(client: Client, symbols: str) -> dict[str, str]:
    """By name, what the page says became of it, without markup."""
    response = client.post(page(Symbol, "add"), {"symbols": symbols})
    assert response.status_code == 200
    return {_text(name): f"{_text(answer)}: {note}" for name, answer, note in response.context["rows"]}


def _text(html: str) -> str:
    return html.split(">")[1].split("<")[0] if "<" in html else html


def test_a_name_that_the_source_knows_is_added_and_trained(admin_client: Client, folder: Path) -> None:
    write(folder, ticker="AAA")
    assert answers(admin_client, "aaa") == {"AAA": "added: Its training was requested."}
    training = Training.objects.get()
    assert (training.symbol, training.reason) == (Symbol.objects.get(), TrainingReason.NEVER_TRAINED)
    assert training.requested_by == "account admin"


def test_an_addition_is_in_the_history_with_who_asked(admin_client: Client, folder: Path) -> None:
    write(folder, ticker="AAA")
    answers(admin_client, "AAA")
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.object_repr, entry.user.get_username()) == (ADDITION, "AAA", "admin")


def test_many_names_are_pasted_in_any_form(admin_client: Client, folder: Path) -> None:
    for name in ("AAA", "BBB", "CCC"):
        write(folder, ticker=name)
    assert [*answers(admin_client, "AAA\r\nbbb, CCC;aaa")] == ["AAA", "BBB", "CCC"]


def test_a_name_without_prices_is_unknown_and_a_suggestion_follows(admin_client: Client, folder: Path) -> None:
    write(folder, ticker="PETR4.SA")
    answers(admin_client, "PETR4.SA")
    assert answers(admin_client, "PETR4")["PETR4"].startswith("unknown: No file for PETR4 in the price folder")
    assert "(perhaps PETR4.SA)" in answers(admin_client, "PETR4")["PETR4"]


def test_a_symbol_that_is_there_is_known_already(admin_client: Client, folder: Path) -> None:
    make_version(make_symbol("AAA"), number=3)
    assert answers(admin_client, "AAA") == {"AAA": "known already: Version 3 serves."}
    assert not LogEntry.objects.exists()


def test_a_symbol_that_was_only_synced_is_followed(admin_client: Client, folder: Path) -> None:
    make_version(make_symbol("SPY", followed=False))
    assert answers(admin_client, "SPY")["SPY"].startswith("added")
    assert Symbol.objects.followed().exists()


def test_a_symbol_out_of_service_stays_so(admin_client: Client, folder: Path) -> None:
    make_symbol("AAA", removed_at=timezone.now())
    assert answers(admin_client, "AAA") == {"AAA": "out of service: Put it back on its page."}


def test_a_name_without_an_answer_in_time_waits_and_stays_in_the_form(
    admin_client: Client, yahoo: FakeYahoo, settings: Settings
) -> None:
    settings.PREDICT_REFRESH_SECONDS = 1
    yahoo.scenarios["AAA"] = fake_yahoo.broken
    response = admin_client.post(page(Symbol, "add"), {"symbols": "AAA"})
    assert "not checked yet" in response.content.decode()
    assert "Check again" in response.content.decode()
    assert response.context["form"].initial["symbols"] == "AAA"
    assert RequestedName.objects.get().reason == ""


def test_names_beyond_the_callers_budget_are_refused(admin_client: Client, folder: Path, settings: Settings) -> None:
    settings.KEY_NEW_SYMBOLS_PER_DAY = 1
    for name in ("AAA", "BBB"):
        write(folder, ticker=name)
    found = answers(admin_client, "AAA BBB")
    assert found["AAA"].startswith("added")
    assert found["BBB"].startswith("refused: Your account may ask for 1 new symbols a day")


@pytest.mark.parametrize("symbols", ["A B$", "US0378331005", " ".join(f"A{number}" for number in range(201))])
def test_text_that_contains_no_symbols_is_refused_with_the_reason(admin_client: Client, symbols: str) -> None:
    response = admin_client.post(page(Symbol, "add"), {"symbols": symbols})
    assert response.context["form"].errors["symbols"]
    assert not RequestedName.objects.exists()


def test_the_form_may_be_filled_by_a_link(admin_client: Client) -> None:
    assert ">\nNEW1</textarea>" in text_of(admin_client, page(Symbol, "add"), symbols="NEW1")


def test_staff_who_may_only_view_add_nothing() -> None:
    user = User.objects.create_user("ana", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    assert page(Symbol, "add") not in text_of(client, page(Symbol, "changelist"))
    assert client.get(page(Symbol, "add")).status_code == 403
    assert client.post(page(Symbol, "add"), {"symbols": "AAA"}).status_code == 403
