"""The pages for visitors in a real browser, on a phone: complete, without a fault, and only from this server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from forecasting.models import Symbol
from tests.browser import Watched, browser  # noqa: F401 - a fixture
from tests.factories import add_bars, make_forecast, make_symbol, make_version

pytestmark = pytest.mark.django_db(transaction=True)

SIZES = [(400, 800), (1600, 900)]


@pytest.fixture(params=SIZES, ids=["phone", "desktop"])
def visitor(browser: Browser, live_server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Watched]:  # noqa: F811
    """The page of somebody without a login. Faults noticed on it fail the test at its end."""
    width, height = request.param
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        watched = Watched(context.new_page(), live_server.url)
        yield watched
        assert context.cookies() == []
    assert watched.faults == []


@pytest.fixture
def symbol() -> Symbol:
    """A symbol with a forecast from its newest bar, and a scored one."""
    symbol = make_symbol("BBAS3.SA")
    bars, version = add_bars(symbol, count=12), make_version(symbol)
    make_forecast(version, bars[-3].date, actual_close=101.0)
    make_forecast(version, bars[-1].date)
    return symbol


def fits(watched: Watched) -> bool:
    """Whether nothing is wider than the window."""
    return bool(watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def open_in_session(watched: Watched) -> None:
    """Opens the symbol's page, whose session began an hour ago, with a clock that the test moves."""
    now = timezone.now().astimezone(UTC)
    watched.page.clock.install(time=now)
    watched.open("/s/BBAS3.SA")
    set_hours(watched, opens=now - timedelta(hours=1), closes=now + timedelta(hours=1))


def test_a_search_leads_to_the_page_of_a_symbol_and_its_chart(visitor: Watched, symbol: Symbol) -> None:
    visitor.open("/")
    expect(visitor.page.get_by_role("link", name="BBAS3.SA")).to_be_visible()
    assert fits(visitor)
    visitor.page.get_by_label("Symbol").fill("bbas3.sa")
    visitor.page.get_by_role("button", name="Show").click()
    expect(visitor.page.get_by_role("heading", name="BBAS3.SA")).to_be_visible()
    expect(visitor.page.locator(".chart-drawing canvas").first).to_be_visible()
    assert fits(visitor)


def test_an_open_session_is_asked_about_once_a_minute(visitor: Watched, symbol: Symbol) -> None:
    open_in_session(visitor)
    visitor.page.evaluate("document.querySelector('[data-part=summary]').textContent = 'an old sentence'")
    with visitor.page.expect_response("**/models/predict?symbols=BBAS3.SA"):
        visitor.page.clock.run_for(65_000)
    expect(visitor.page.locator("[data-part=summary]")).to_contain_text("80 %: 99.00 to 103.00 BRL")
    expect(visitor.page.locator("[data-part=knows]")).to_be_visible()


def test_what_is_told_of_another_forecast_is_hidden(visitor: Watched, symbol: Symbol) -> None:
    open_in_session(visitor)
    visitor.page.evaluate("Object.assign(document.querySelector('[data-ticker]').dataset, {asOf: '2020-01-02', basis: 'live'})")
    expect(visitor.page.locator("[data-part=facts]")).to_be_visible()
    visitor.page.clock.run_for(65_000)
    expect(visitor.page.locator("[data-part=facts]")).to_be_hidden()


def test_a_closed_session_is_not_asked_about(visitor: Watched, symbol: Symbol) -> None:
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url) if "/models/predict" in request.url else None)
    now = timezone.now().astimezone(UTC)
    visitor.page.clock.install(time=now)
    visitor.open("/s/BBAS3.SA")
    set_hours(visitor, opens=now + timedelta(hours=1), closes=now + timedelta(hours=9))
    visitor.page.clock.run_for(130_000)
    assert asked == []


def set_hours(visitor: Watched, *, opens: datetime, closes: datetime) -> None:
    """Puts other hours of the session into the page."""
    visitor.page.evaluate(
        "hours => Object.assign(document.querySelector('[data-ticker]').dataset, hours)",
        {"opens": opens.isoformat(), "closes": closes.isoformat()},
    )
