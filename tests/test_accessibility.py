"""Every page in a real browser, checked by axe-core: nothing that shuts out people who hear a page or see colours otherwise."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab
from pytest_django.live_server_helper import LiveServer

from forecasting import scoring
from tests import states
from tests.browser import browser  # noqa: F401 - a fixture
from tests.every_page import Page, pages
from tests.factories import add_bars, make_forecast, make_symbol
from tests.small_model import publish_model

pytestmark = pytest.mark.django_db(transaction=True)

SYMBOLS = ("SAMPLE1", "SAMPLE2", "SAMPLE3", "SAMPLE4")
GRAVE = {"serious", "critical"}
# What others' pages do wrong: by rule, a part of the element's HTML, and whose it is. Nothing of ours belongs here.
KNOWN = {
    "label": ('class="v', "Django names the two fields of a date and time by words beside them"),
    "aria-prohibited-attr": ("help-tooltip", "Django explains the filter of a many-to-many field by a label of a span"),
    "nested-interactive": ("opblock-summary-control", "Swagger UI has buttons to copy inside the button that opens a route"),
    "select-name": ('id="servers"', "Swagger UI writes the name of its list of servers beside it"),
}
SETTLE = "document.getAnimations().forEach(animation => animation.finish())"  # a colour on its way has too little contrast


@pytest.fixture
def tab(browser: Browser, live_server: LiveServer) -> Iterator[Tab]:  # noqa: F811 - the fixture
    """A tab of a browser, with the service's address."""
    with browser.new_context(base_url=live_server.url) as context:
        yield context.new_page()


@pytest.fixture
def staff_tab(tab: Tab, live_server: LiveServer) -> Tab:
    """A tab of a browser in which a superuser is logged in, of a service with all that goes well and all that goes wrong."""
    states.reach("failing", past=_short_past)
    client = Client()
    client.force_login(User.objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    tab.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
    return tab


def test_no_page_has_grave_faults_in_light_or_dark(staff_tab: Tab) -> None:
    assert_no_faults(staff_tab, pages())


def test_nor_has_a_front_page_without_forecasts(tab: Tab) -> None:
    assert_no_faults(tab, [Page("front page", "/", drawn="a[href='/swagger']")])


def test_nor_has_the_answer_to_a_name_that_is_nearly_a_symbol(tab: Tab) -> None:
    add_bars(make_symbol("PETR4.SA"), count=3)

    assert_no_faults(tab, [Page("no such symbol", "/s/PETR4", drawn="a[href='/s/PETR4.SA']")])


def assert_no_faults(tab: Tab, visited: Iterable[Page]) -> None:
    """Visits each page in light and in dark colours."""
    found = []
    for page in visited:
        tab.emulate_media(color_scheme="light")
        tab.goto(page.address)
        tab.wait_for_selector(page.drawn)
        found += [f"{page.name}: {fault}" for fault in faults(tab)]
        tab.emulate_media(color_scheme="dark")
        found += [f"{page.name}, dark: {fault}" for fault in faults(tab, only="color-contrast")]

    assert not found, "\n".join(found)


def faults(tab: Tab, *, only: str | None = None) -> list[str]:
    """The grave findings of axe that are not KNOWN, one line per element."""
    tab.evaluate(SETTLE)
    options: dict[str, Any] = {"resultTypes": ["violations"]} | ({"runOnly": [only]} if only else {})
    return [
        f"{rule['id']} ({rule['impact']}) at {node['target'][0]}: {node['html'][:120]}"
        for rule in Axe().run(tab, options=options).response["violations"]
        for node in rule["nodes"]
        if rule["impact"] in GRAVE and not (rule["id"] in KNOWN and KNOWN[rule["id"]][0] in node["html"])
    ]


def _short_past() -> None:
    """Four symbols with a model, bars, and forecasts of twenty sessions, scored."""
    for ticker in SYMBOLS:
        symbol = make_symbol(ticker)
        bars, version = add_bars(symbol, count=60), publish_model(symbol)
        for bar in bars[-20:]:
            make_forecast(version, bar.date, last_close=bar.close, simulated=True)
        scoring.score_due([symbol])
