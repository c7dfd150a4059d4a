"""The chart in a real browser, under the policy of its page."""

import re
from datetime import timedelta
from itertools import pairwise

import pytest
from playwright.sync_api import Route, expect
from pytest_django import Settings

from forecasting.models import Symbol
from forecasting.runtime.processes import wait_for
from tests.admin_pages import page
from tests.browser import Watched, browser, staff_page  # noqa: F401 - fixtures
from tests.factories import add_bars, make_forecast, make_restatement, make_symbol, make_version

pytestmark = pytest.mark.django_db(transaction=True)

BRIGHTNESS = "canvas => canvas.getContext('2d').getImageData(3, 3, 1, 1).data.slice(0, 3).reduce((sum, part) => sum + part)"


@pytest.fixture
def symbol() -> Symbol:
    """A symbol with 30 bars, 28 scored forecasts, of which two missed, and one of the next session."""
    symbol = make_symbol("BBAS3.SA")
    bars, version = add_bars(symbol, count=30), make_version(symbol)
    for place, (bar, following) in enumerate(pairwise(bars)):
        prices = {str(level): bar.close * (1 + (level - 0.5) / 5) for level in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)}
        values = {"last_close": bar.close, "price": bar.close, "interval_low": prices["0.1"], "interval_high": prices["0.9"]}
        actual = 2 * following.close if place < 2 else following.close
        make_forecast(version, bar.date, target_date=following.date, quantiles=prices, actual_close=actual, **values)
    make_restatement(symbol, date=bars[10].date)
    make_forecast(version, bars[-1].date)
    return symbol


def opened(watched: Watched, symbol: Symbol) -> None:
    """The symbol's page, with its chart drawn."""
    watched.open(page(Symbol, "change", symbol.pk))
    expect(watched.page.locator(".chart-drawing canvas").first).to_be_visible()


def test_it_is_drawn_without_a_fault(staff_page: Watched, symbol: Symbol) -> None:  # noqa: F811
    opened(staff_page, symbol)
    text = staff_page.page.locator(".chart-text")
    expect(text).to_contain_text("Of 29 forecasts shown, 27 closes (93 %) were inside their 80 % interval.")
    expect(text).to_contain_text("BBAS3.SA closed at")


def test_the_pointer_shows_date_and_figures(staff_page: Watched, symbol: Symbol) -> None:  # noqa: F811
    opened(staff_page, symbol)
    box = staff_page.page.locator(".chart-drawing").bounding_box()
    assert box
    staff_page.page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2, steps=5)
    expect(staff_page.page.locator(".bk-tooltip-row-label").first).to_have_text("Session:")
    expect(staff_page.page.locator(".bk-tooltip-row-value").first).to_have_text(re.compile(r"\d{4}-\d\d-\d\d"))


def test_its_figures_are_a_table_for_the_keyboard(staff_page: Watched, symbol: Symbol) -> None:  # noqa: F811
    opened(staff_page, symbol)
    staff_page.page.get_by_text("Figures as a table").press("Enter")
    table = staff_page.page.get_by_role("region", name="Figures of the chart of BBAS3.SA")
    expect(table.get_by_role("row")).to_have_count(1 + 1 + 29 + 1)  # its head, a session without forecast, past, next
    expect(table.get_by_role("row", name="outside")).to_have_count(2)


def test_it_follows_the_theme(staff_page: Watched, symbol: Symbol) -> None:  # noqa: F811
    opened(staff_page, symbol)
    canvas = staff_page.page.locator(".chart-drawing canvas").first
    assert canvas.evaluate(BRIGHTNESS) > 600
    staff_page.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert wait_for(lambda: canvas.evaluate(BRIGHTNESS) < 200, seconds=10)


@pytest.mark.parametrize(("source", "is_simulated"), [("sample", True), ("csv", False)])
def test_simulated_prices_are_named(
    staff_page: Watched,  # noqa: F811
    symbol: Symbol,
    settings: Settings,
    *,
    source: str,
    is_simulated: bool,
) -> None:
    settings.PRICE_SOURCE = source
    opened(staff_page, symbol)
    expect(staff_page.page.get_by_text("Simulated prices: not those of a market.")).to_be_visible(visible=is_simulated)


def test_other_sessions_are_drawn_when_they_are_chosen(staff_page: Watched, symbol: Symbol) -> None:  # noqa: F811
    opened(staff_page, symbol)
    add_bars(symbol, count=100, end=symbol.bars.earliest("date").date - timedelta(days=1))
    staff_page.page.get_by_label("Sessions").select_option("60")
    expect(staff_page.page.locator(".chart tbody tr")).to_have_count(60 + 1)


def test_a_late_answer_does_not_replace_what_was_chosen_since(staff_page: Watched, symbol: Symbol) -> None:  # noqa: F811
    opened(staff_page, symbol)
    add_bars(symbol, count=100, end=symbol.bars.earliest("date").date - timedelta(days=1))
    late: list[Route] = []
    staff_page.page.route("**/chart?sessions=250", lambda route: late.append(route))
    staff_page.page.get_by_label("Sessions").select_option("250")
    staff_page.page.get_by_label("Sessions").select_option("60")
    rows = staff_page.page.locator(".chart tbody tr")
    expect(rows).to_have_count(60 + 1)
    with staff_page.page.expect_response("**/chart?sessions=250") as answer:
        late[0].continue_()
    answer.value.finished()
    staff_page.page.evaluate("new Promise((done) => setTimeout(done))")  # the script has read it
    assert rows.count() == 60 + 1


def test_a_symbol_without_prices_says_so(staff_page: Watched) -> None:  # noqa: F811
    staff_page.open(page(Symbol, "change", make_symbol().pk))
    expect(staff_page.page.locator(".chart-text")).to_have_text("There are no prices of SAMPLE1 yet.")


def test_a_chart_that_cannot_be_loaded_says_why(staff_page: Watched, symbol: Symbol) -> None:  # noqa: F811
    def refuse(route: Route) -> None:
        route.fulfill(status=503, json={"error": "The database cannot be reached; try again shortly.", "details": {}})

    staff_page.page.route("**/chart?*", refuse)
    staff_page.open(page(Symbol, "change", symbol.pk))
    expect(staff_page.page.locator(".chart-text")).to_contain_text("The database cannot be reached")
    staff_page.faults.clear()  # the browser reports the status


def test_it_fits_a_phone(staff_page: Watched, symbol: Symbol) -> None:  # noqa: F811
    staff_page.page.set_viewport_size({"width": 400, "height": 800})
    opened(staff_page, symbol)
    assert staff_page.page.evaluate("document.documentElement.scrollWidth") <= 400
