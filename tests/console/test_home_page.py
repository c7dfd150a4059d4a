"""The admin's home as a page: who sees what, its buttons, its queries."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from forecasting.console.attention import Concern
from forecasting.console.home import Home
from forecasting.console.status import Light
from forecasting.models import Training
from forecasting.models.trainings import TrainingState
from forecasting.readiness import Part, State
from tests.admin_pages import one_of_each
from tests.console.scored import score_days
from tests.factories import add_bars, make_symbol, make_training, make_version

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")
PANELS = ("status", "attention", "last-session", "calibration", "trainings", "retrainings", "actions")
QUERIES = 20  # two of them for session and account, three that are not repeated before there is another score

Staff = Callable[..., Client]


@pytest.fixture
def staff() -> Staff:
    """Logs in a staff account of a group, or with these permissions."""

    def log_in(*permissions: str, group: str = "") -> Client:
        user = User.objects.create_user("ana", is_staff=True)
        user.groups.set(Group.objects.filter(name=group))
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return log_in


def panels(client: Client) -> list[str]:
    """The panels of the home in their order."""
    text = client.get(HOME).content.decode()
    found = {panel: text.find(f'id="{panel}"') for panel in PANELS}
    return sorted((panel for panel, place in found.items() if place >= 0), key=lambda panel: found[panel])


def failed() -> Training:
    """A symbol's failed training."""
    return make_training(make_symbol("FAILED"), state=TrainingState.FAILED)


def test_an_empty_database_shows_all_panels(admin_client: Client) -> None:
    assert panels(admin_client) == list(PANELS)
    text = admin_client.get(HOME).content.decode()
    for told in (
        "No symbol, model or training needs",
        "No training runs or waits.",
        "Nobody has done anything yet.",
        "No forecast has been",
    ):
        assert told in text


def test_the_first_line_tells_what_is_wrong(admin_client: Client) -> None:
    failed()
    text = admin_client.get(HOME).content.decode()
    assert '<p class="verdict verdict-bad">Wrong: Workers, Prices. ' in text
    assert "Needs attention: failed trainings (1), symbols without prices (1).</p>" in text


@pytest.mark.parametrize(
    ("states", "concerned", "verdict"),
    [
        ([State.OK], False, Part(State.OK, "All is well.")),
        ([State.OK], True, Part(State.WARNING, "Needs attention: failed trainings (1).")),
        ([State.OK, State.UNKNOWN], False, Part(State.UNKNOWN, "Not known yet: 1.")),
        ([State.WARNING, State.FAILED], False, Part(State.FAILED, "Wrong: 1. To look at: 0.")),
    ],
)
def test_the_verdict_is_that_of_the_worst_part(states: list[State], *, concerned: bool, verdict: Part) -> None:
    lights = [Light(str(place), Part(state, ""), "symbol") for place, state in enumerate(states)]
    concerns = [Concern("Failed trainings", 1, (), "training")] if concerned else []
    assert Home(lights, concerns, None, None, None, None, None).verdict == verdict


def test_the_tables_are_listed_below_the_panels(admin_client: Client) -> None:
    text = admin_client.get(HOME).content.decode()
    assert text.index('id="actions"') < text.index(reverse("admin:forecasting_webhook_changelist"))


@pytest.mark.parametrize("group", ["Viewer", "Operator"])
def test_both_groups_see_all_panels(staff: Staff, group: str) -> None:
    one_of_each()
    assert panels(staff(group=group)) == list(PANELS)


@pytest.mark.parametrize(("group", "buttons"), [("Viewer", 0), ("Operator", 2)])
def test_only_an_operator_has_buttons(staff: Staff, group: str, buttons: int) -> None:
    failed()
    make_training(make_symbol("WAITS"))
    assert staff(group=group).get(HOME).content.decode().count('<button form="act"') == buttons


@pytest.mark.parametrize(
    ("permission", "shown"),
    [
        ("view_jobrun", ["status"]),
        ("view_finding", ["attention"]),
        ("view_forecast", ["last-session", "calibration"]),
        ("view_training", ["status", "attention", "trainings"]),
        ("view_modelversion", ["status", "attention", "retrainings"]),
        ("view_logentry", ["actions"]),
        ("view_user", []),
    ],
)
def test_a_panel_needs_the_permission_for_its_table(staff: Staff, permission: str, shown: list[str]) -> None:
    assert panels(staff(permission)) == shown


def test_a_failed_training_is_tried_again(admin_client: Client) -> None:
    training = failed()
    response = admin_client.post(HOME, {"retrain": training.symbol_id}, follow=True)
    (message,) = response.context["messages"]
    assert ">1 training started.</a>" in str(message)
    again = Training.objects.active().get()
    assert (again.symbol_id, again.requested_by) == (training.symbol_id, "account admin")


def test_a_waiting_training_is_cancelled(admin_client: Client) -> None:
    training = make_training(make_symbol())
    admin_client.post(HOME, {"cancel": training.pk})
    training.refresh_from_db()
    assert training.state == TrainingState.CANCELLED


def test_what_is_no_key_presses_no_button(admin_client: Client) -> None:
    assert admin_client.post(HOME, {"retrain": "\N{SUPERSCRIPT TWO}", "cancel": "x"}).status_code == 302


@pytest.mark.parametrize("button", ["retrain", "cancel"])
def test_a_viewer_cannot_press_a_button_that_is_not_there(staff: Staff, button: str) -> None:
    training = make_training(make_symbol())
    assert staff(group="Viewer").post(HOME, {button: training.pk}).status_code == 403


def test_a_button_needs_the_token_of_the_page(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(HOME, {"retrain": failed().symbol_id}).status_code == 403


def test_a_button_without_a_number_does_nothing(admin_client: Client) -> None:
    failed()
    assert admin_client.post(HOME, {"retrain": "x", "nonsense": "1"}).status_code == 302
    assert not Training.objects.active().exists()


def test_the_address_of_a_choice_is_kept_by_a_button(admin_client: Client) -> None:
    assert admin_client.post(f"{HOME}?horizon=5", {}).headers["Location"] == f"{HOME}?horizon=5"


def test_the_log_has_a_list_of_its_own(admin_client: Client) -> None:
    admin_client.post(HOME, {"retrain": failed().symbol_id})
    assert "Training requested." in admin_client.get(reverse("admin:admin_logentry_changelist")).content.decode()


def test_nobody_deletes_lines_of_the_log(admin_client: Client) -> None:
    admin_client.post(HOME, {"retrain": failed().symbol_id})
    entry = LogEntry.objects.get()
    assert admin_client.post(reverse("admin:admin_logentry_delete", args=[entry.pk]), {"post": "yes"}).status_code == 403
    assert LogEntry.objects.exists()


def test_a_new_score_is_seen_at_once(admin_client: Client) -> None:
    for count in (1, 2):
        score_days(make_version(make_symbol(f"OFF{count}")), [False] * 40)
        text = admin_client.get(HOME).content.decode()
        assert f"coverage outside its band ({count})" in text
        assert f"0.0 % of {count}<br>" in text


@pytest.mark.parametrize("symbols", [1, 12])
def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(admin_client: Client, symbols: int) -> None:
    admin_client.get(HOME)  # content types are remembered
    for number in range(symbols):
        symbol = make_symbol(f"A{number}")
        add_bars(symbol, count=2, end=date(2024, 1, 3))
        score_days(make_version(symbol, trained_at=timezone.now() - timedelta(days=number)), [False] * 10)
        make_training(symbol, state=TrainingState.FAILED)
        make_training(symbol)
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(HOME)
    assert len(queries) == QUERIES
