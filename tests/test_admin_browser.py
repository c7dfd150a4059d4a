# ruff: noqa: F811 - the fixtures are imported
"""The admin in a real browser: pages load completely and only from this server, and a user can start an action."""

import re
from datetime import date

import pytest
from django.db.models import Model
from django.utils import timezone
from django_q.models import Schedule
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from forecasting.models import Finding, Forecast, JobRun, ModelVersion, Restatement, Symbol, Training, Upstream, WorkerProcess
from forecasting.models.jobs import JobState
from forecasting.models.trainings import TrainingState
from forecasting.models.upstream import BreakerState
from tests.admin_pages import page
from tests.browser import Watched, browser, staff_page  # noqa: F401 - fixtures
from tests.factories import (
    add_bars,
    make_finding,
    make_forecast,
    make_restatement,
    make_symbol,
    make_training,
    make_upstream,
    make_version,
    make_worker,
)

pytestmark = pytest.mark.django_db(transaction=True)

AS_OF = date(2025, 6, 2)
MODELS = (Symbol, ModelVersion, Forecast, Training, JobRun, WorkerProcess, Upstream, Restatement, Finding, Schedule)


@pytest.fixture
def symbol() -> Symbol:
    """A symbol with all rows that the admin can show."""
    symbol = make_symbol("BBAS3.SA")
    add_bars(symbol, count=12)
    make_forecast(make_version(symbol), AS_OF, actual_close=104.5)
    make_training(symbol, state=TrainingState.FAILED)
    JobRun.objects.create(job="daily", date=AS_OF, state=JobState.SUCCEEDED, finished_at=timezone.now(), report={"scored": 1})
    make_upstream(state=BreakerState.OPEN, reason="Yahoo Finance refuses more requests for now")
    make_restatement(symbol)
    make_finding(symbol)
    make_worker()
    Schedule.objects.create(name="rescue", func="forecasting.background.tasks.rescue_trainings", schedule_type=Schedule.MINUTES)
    return symbol


def test_every_list_and_its_first_row_load_in_a_browser(staff_page: Watched, symbol: Symbol) -> None:
    for model in MODELS:
        staff_page.open(page(model, "changelist"))
        staff_page.page.locator("#result_list tbody th a").first.click()
        expect(staff_page.page.locator("#content h1")).to_have_text(re.compile("^View"))


def test_a_symbol_is_retrained_from_the_list(staff_page: Watched, symbol: Symbol) -> None:
    staff_page.open(page(Symbol, "changelist"))
    staff_page.page.get_by_role("row", name="BBAS3.SA").get_by_role("checkbox").check()
    staff_page.page.get_by_role("button", name="Retrain selected symbols").click()

    expect(staff_page.page.locator(".messagelist .success")).to_have_text("1 training started.")
    assert Training.objects.active().of([symbol]).exists()


@pytest.mark.parametrize("model", [Symbol, ModelVersion, Forecast, Training])
def test_a_list_shows_all_its_columns_on_a_laptop(staff_page: Watched, symbol: Symbol, model: type[Model]) -> None:
    prices = {"last_close": 24567.85, "price": 24567.85, "interval_low": 23456.75, "interval_high": 25432.15}
    version = make_version(make_symbol("NESTLEIND.NS", currency="INR"), number=12)
    make_forecast(version, date(2025, 5, 2), horizon=21, target_date=AS_OF, actual_close=24104.5, **prices)
    make_training(symbol, state=TrainingState.RUNNING, progress=0.4, stage="calibration", epoch=12)
    make_training(
        symbol, state=TrainingState.FAILED, error="The trainer was stopped, because it used more than 3000 MB. (3 attempts)"
    )
    staff_page.open(page(model, "changelist"))
    frame = staff_page.page.locator("#changelist .results")
    assert frame.evaluate("frame => frame.scrollWidth - frame.clientWidth") == 0


def test_watched_trainings_are_loaded_again_unless_one_is_ticked(staff_page: Watched, symbol: Symbol) -> None:
    training = make_training(symbol, state=TrainingState.RUNNING, progress=0.1, stage="fitting")
    staff_page.page.clock.install()
    staff_page.open(f"{page(Training, 'changelist')}?id__in={training.pk}")
    tick = staff_page.page.get_by_role("row", name="BBAS3.SA").get_by_role("checkbox")
    tick.check()
    Training.objects.filter(pk=training.pk).update(progress=0.5)
    staff_page.page.clock.run_for(11_000)
    expect(tick).to_be_checked()
    tick.uncheck()
    tick.blur()
    staff_page.page.clock.run_for(6_000)
    expect(staff_page.page.locator("#result_list")).to_contain_text("50 % fitting")


def test_pages_fit_a_phone(staff_page: Watched, symbol: Symbol) -> None:
    staff_page.page.set_viewport_size({"width": 390, "height": 800})
    staff_page.open(page(ModelVersion, "change", ModelVersion.objects.get().pk))

    assert staff_page.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_swagger_lists_the_routes_and_asks_one(staff_page: Watched, symbol: Symbol) -> None:
    staff_page.open("/swagger")
    route = staff_page.page.locator("#operations-Records-list_symbols")
    route.click()
    route.get_by_role("button", name="Try it out").click()
    route.get_by_role("button", name="Execute").click()

    expect(route.locator(".live-responses-table td.response-col_status").last).to_contain_text("200")
    expect(route.locator(".live-responses-table")).to_contain_text("BBAS3.SA")


def test_a_script_inside_a_page_does_not_run(browser: Browser, live_server: LiveServer) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{live_server.url}/admin/login/")
        page.evaluate(
            "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); }"
        )
        assert page.evaluate("window.ran") is None
