"""The page of a symbol: its chart, what its forecast knows, its record, trainings and log, and two versions side by side."""

import re
from datetime import UTC, date, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from forecasting.accounts import log_change
from forecasting.models import ModelVersion, Symbol
from forecasting.models.forecasts import Basis
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import VersionState
from tests.admin_pages import page, text_of
from tests.factories import add_bar, make_forecast, make_restatement, make_symbol, make_training, make_version
from tests.test_version_life import backtest, published

pytestmark = pytest.mark.django_db

LAST = date(2025, 6, 2)
MORNING, OPENS = datetime(2025, 6, 3, 9, tzinfo=UTC), datetime(2025, 6, 3, 13, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _today(time_machine: object) -> None:
    """Tuesday, 3 June 2025, before New York opens."""
    time_machine.move_to(datetime(2025, 6, 3, 12, tzinfo=UTC))  # type: ignore[attr-defined]


def shown(client: Client, symbol: Symbol, **query: str) -> str:
    """The text of the page, without tags, each gap one blank."""
    return re.sub(r"\s+", " ", strip_tags(text_of(client, page(Symbol, "change", symbol.pk), **query).replace("<", " <")))


def test_it_begins_with_the_chart(admin_client: Client) -> None:
    text = text_of(admin_client, page(Symbol, "change", make_symbol("^BVSP").pk))
    assert 'data-chart="/models/symbols/%5EBVSP/chart"' in text


def test_an_empty_symbol_has_a_page(admin_client: Client) -> None:
    text = shown(admin_client, make_symbol())
    assert "Nothing yet: the next request or daily job makes the forecast from the newest bar." in text
    assert "There is no version yet: two are compared here." in text


def test_it_tells_what_the_forecast_knows(admin_client: Client) -> None:
    add_bar(symbol := make_symbol(), LAST, 100.0)
    version = make_version(symbol)
    make_forecast(version, LAST)
    lead = {"symbol": "SPY", "session": "2025-06-02", "percentage": 0.8}
    make_forecast(version, LAST, basis=Basis.LEAD, leads=[lead], known_until=MORNING, issued_at=MORNING, target_opens=OPENS)
    text = shown(admin_client, symbol)
    assert "Knows own bars and leads, up to 2025-06-03 09:00" in text
    assert "SPY 2025-06-02 +0.80 %" in text
    assert "Target session 2025-06-03, opens today" in text


def test_the_record_is_told_by_basis_and_horizon(admin_client: Client) -> None:
    version = make_version(symbol := make_symbol())
    make_forecast(version, date(2025, 5, 28), actual_close=101.0)
    make_forecast(version, date(2025, 5, 29), actual_close=110.0)
    make_forecast(version, date(2025, 5, 20), horizon=5, target_date=date(2025, 5, 28), actual_close=101.0)
    text = shown(admin_client, symbol)
    assert "own bars 2 50.0 % 4.5000 USD" in text
    assert "own bars, 5 sessions ahead 1 100.0 %" in text


def test_trainings_show_their_result_and_why_they_failed(admin_client: Client) -> None:
    symbol = make_symbol()
    make_training(symbol, state=TrainingState.FAILED, error="Only 12 bars, 490 are needed.", requested_by="key mobile")
    training = make_training(symbol, state=TrainingState.SUCCEEDED)
    make_version(symbol, training=training, number=7, decision="First version.")
    text = shown(admin_client, symbol)
    assert "key mobile" in text
    assert "Only 12 bars, 490 are needed." in text
    assert "SAMPLE1 v7 First version." in text
    assert "There is no loss per epoch" in text


def test_the_log_tells_who_did_what_with_the_symbol_and_its_versions(admin_client: Client, admin_user: User) -> None:
    symbol, other = make_symbol(), make_symbol("OTHER")
    log_change(admin_user, symbol, "Training requested.")
    log_change(admin_user, make_version(symbol), "Activated.")
    log_change(admin_user, other, "Removed.")
    text = shown(admin_client, symbol)
    assert "admin SAMPLE1 Training requested." in text
    assert "admin SAMPLE1 v1 Activated." in text
    assert "Removed." not in text.split("Actions:")[1]


def test_two_versions_are_compared_on_the_sessions_that_both_tests_have(admin_client: Client) -> None:
    symbol = make_symbol()
    published(symbol, backtest=backtest()[:150])
    published(symbol, backtest=backtest(price=50.0)[50:])
    text = text_of(admin_client, page(Symbol, "change", symbol.pk), first="1", second="2")
    assert "Quantile loss on 100 sessions, mean of 20" in text
    assert text.count("<polyline") == 2
    words = re.sub(r"\s+", " ", strip_tags(text.replace("<", " <")))
    assert "State retired active" in words
    assert re.search(r"Mean 0\.\d{6} 0\.\d{6}", words)
    assert re.search(r"promised below v1 v2 5% \d", words)


def test_without_a_choice_no_files_are_read(admin_client: Client) -> None:
    symbol = make_symbol()
    make_version(symbol, state=VersionState.RETIRED)
    make_version(symbol, number=2)
    assert "Common sessions" not in shown(admin_client, symbol)


@pytest.mark.parametrize("query", [{"first": "9", "second": "1"}, {"first": "x"}, {"second": "1"}])
def test_a_version_that_does_not_exist_is_not_compared(admin_client: Client, query: dict[str, str]) -> None:
    symbol = make_symbol()
    make_version(symbol, state=VersionState.RETIRED)
    make_version(symbol, number=2)
    assert "Common sessions" not in shown(admin_client, symbol, **query)


def test_versions_whose_files_are_gone_say_so(admin_client: Client) -> None:
    symbol = make_symbol()
    make_version(symbol, state=VersionState.RETIRED)
    make_version(symbol, number=2)
    assert "Cannot be compared: " in shown(admin_client, symbol, first="1", second="2")


def test_the_number_of_queries_does_not_depend_on_the_rows(admin_client: Client) -> None:
    add_bar(symbol := make_symbol(), LAST, 100.0)
    make_forecast(make_version(symbol), LAST)
    address = page(Symbol, "change", symbol.pk)
    text_of(admin_client, address)
    with CaptureQueriesContext(connection) as few:
        text_of(admin_client, address)
    for number in range(2, 8):
        version = make_version(symbol, number=number, state=VersionState.RETIRED)
        make_forecast(version, date(2025, 5, 20 + number), actual_close=101.0)
        make_training(symbol, state=TrainingState.FAILED)
        make_restatement(symbol)
        log_change(User.objects.get(), version, "Activated.")
    with CaptureQueriesContext(connection) as many:
        text_of(admin_client, address)
    assert len(many) == len(few) <= 25


def test_a_symbol_out_of_service_waits_for_no_forecast(admin_client: Client) -> None:
    assert "Nothing: it is out of service." in shown(admin_client, make_symbol(removed_at=datetime.now(UTC)))


@pytest.mark.parametrize(
    ("permission", "told"),
    [
        ("view_training", "key mobile"),
        ("view_logentry", "Automatic training paused."),
        ("view_modelversion", "There is no version"),
    ],
)
def test_a_part_of_the_page_needs_the_permission_for_its_table(
    client: Client, admin_user: User, permission: str, told: str
) -> None:
    symbol = make_symbol()
    make_training(symbol, requested_by="key mobile", state=TrainingState.FAILED)
    log_change(admin_user, symbol, "Automatic training paused.")
    user = User.objects.create_user("ben", is_staff=True)
    client.force_login(user)
    user.user_permissions.set(Permission.objects.filter(codename="view_symbol"))
    assert told not in shown(client, symbol)
    user.user_permissions.add(Permission.objects.get(codename=permission))
    assert told in shown(client, symbol)


def test_a_user_without_the_right_sees_nothing(client: Client) -> None:
    client.force_login(User.objects.create_user("ben", is_staff=True))
    assert client.get(page(Symbol, "change", make_symbol().pk)).status_code == 403
    assert not ModelVersion.objects.exists()
