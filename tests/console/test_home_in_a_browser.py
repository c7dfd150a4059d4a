"""The admin's home in a real browser: it fits every screen, has no faults, and keeps itself current."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from forecasting.models import Symbol, Training
from forecasting.models.trainings import TrainingState
from tests.browser import Watched, browser, staff_page
from tests.console.scored import score_days
from tests.factories import make_training, make_version
from tests.test_admin_browser import symbol

__all__ = ["browser", "staff_page", "symbol"]

pytestmark = pytest.mark.django_db(transaction=True)

HOME = reverse("admin:index")


@pytest.fixture
def full(symbol: Symbol) -> Symbol:
    """A symbol with something to show on each panel."""
    score_days(make_version(symbol, number=2, state="retired"), [place % 3 > 0 for place in range(60)])
    return symbol


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_the_home_fits_the_screen(staff_page: Watched, full: Symbol, width: int, scheme: str) -> None:
    staff_page.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    staff_page.page.set_viewport_size({"width": width, "height": 900})
    staff_page.open(HOME)
    expect(staff_page.page.locator("#calibration polyline.means")).to_be_attached()
    assert staff_page.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_home_follows_a_training_until_it_ends(staff_page: Watched, full: Symbol) -> None:
    training = make_training(full, state=TrainingState.RUNNING, progress=0.1, stage="fitting")
    staff_page.open(HOME)
    panel = staff_page.page.locator("#trainings")
    expect(panel).to_contain_text("10.0 % fitting")
    Training.objects.filter(pk=training.pk).update(progress=0.5)
    expect(panel).to_contain_text("50.0 % fitting", timeout=20_000)
    Training.objects.filter(pk=training.pk).update(state=TrainingState.SUCCEEDED, finished_at=training.created_at)
    expect(panel).to_contain_text("No training runs or waits.", timeout=20_000)
    expect(staff_page.page.locator("#home")).to_have_attribute("data-busy", "no")


def test_what_is_focused_or_open_stays_so_when_the_page_refreshes(staff_page: Watched, full: Symbol) -> None:
    training = make_training(full, state=TrainingState.RUNNING, progress=0.1)
    staff_page.open(HOME)
    staff_page.page.locator("#calibration summary").click()
    cancel = staff_page.page.get_by_role("button", name=re.compile("^Cancel"))
    cancel.focus()
    Training.objects.filter(pk=training.pk).update(progress=0.6)
    score_days(make_version(full, number=3, state="retired"), [True])
    expect(staff_page.page.locator("#trainings")).to_contain_text("60.0 %", timeout=20_000)
    expect(cancel).to_be_focused()
    expect(staff_page.page.locator("#calibration-table")).to_have_attribute("open", "")


def test_a_tab_that_is_seen_again_is_current(staff_page: Watched, full: Symbol) -> None:
    staff_page.open(HOME)
    make_training(full)
    staff_page.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(staff_page.page.locator("#trainings")).to_contain_text("place 1")


def test_the_home_goes_on_after_an_error(staff_page: Watched, full: Symbol) -> None:
    training = make_training(full, state=TrainingState.RUNNING, progress=0.1, stage="fitting")
    staff_page.open(HOME)
    staff_page.page.route("**/admin/", lambda route: route.fulfill(status=503), times=1)
    Training.objects.filter(pk=training.pk).update(progress=0.5)
    expect(staff_page.page.locator("#trainings")).to_contain_text("50.0 % fitting", timeout=30_000)
    staff_page.faults.clear()  # the browser reports the status


def test_a_failed_training_is_tried_again_with_one_click(staff_page: Watched, full: Symbol) -> None:
    staff_page.open(HOME)
    staff_page.page.get_by_role("button", name="Try again: BBAS3.SA").click()
    expect(staff_page.page.locator(".messagelist .success")).to_have_text("1 training started.")
    assert Training.objects.active().of([full]).exists()


def test_the_calibration_of_a_later_horizon_is_chosen_by_a_click(staff_page: Watched, full: Symbol) -> None:
    staff_page.open(HOME)
    staff_page.page.get_by_role("link", name="5 sessions ahead").click()
    expect(staff_page.page.locator("#calibration")).to_contain_text("No such forecast has been scored yet.")
