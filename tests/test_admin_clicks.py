# ruff: noqa: F811 - the fixtures are imported
"""How many clicks from the home page the tasks of staff take, in a real browser. Typing and the Enter key are no clicks."""

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, expect
from pytest_django import Settings

from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingState
from tests.browser import Watched, browser, staff_page  # noqa: F401 - fixtures
from tests.factories import add_bars, make_symbol, make_training, make_version
from tests.small_model import publish_model

pytestmark = pytest.mark.django_db(transaction=True)

TICKERS = ["ABEV3.SA", "BBAS3.SA", "ITUB4.SA", "PETR4.SA", "VALE3.SA", "WEGE3.SA"]


class Home:
    """The home page, and the clicks since it was opened."""

    def __init__(self, watched: Watched) -> None:
        self.page, self.clicks = watched.page, 0
        watched.open(reverse("admin:index"))

    def click(self, target: Locator, *, with_shift: bool = False) -> None:
        """One click."""
        target.click(modifiers=["Shift"] if with_shift else [])
        self.clicks += 1

    def table(self, name: str) -> None:
        """Opens the list of a table by its name."""
        self.click(self.page.locator("#content").get_by_role("link", name=name, exact=True).first)

    def button(self, name: str) -> None:
        """Presses a button."""
        self.click(self.page.get_by_role("button", name=name, exact=True).first)

    def type(self, text: str) -> None:
        """Types into the search of the header, and presses Enter."""
        self.page.get_by_role("searchbox", name="Go to a symbol").fill(text)
        self.page.keyboard.press("Enter")

    def says(self, text: str) -> None:
        """Waits for a message."""
        expect(self.page.locator(".messagelist")).to_contain_text(text)


@pytest.fixture
def home(staff_page: Watched) -> Home:
    """The home page with six symbols."""
    for ticker in TICKERS:
        make_symbol(ticker)
    return Home(staff_page)


def test_five_symbols_are_retrained_and_watched_with_four_clicks(home: Home) -> None:
    home.table("Symbols")
    boxes = home.page.locator("input.action-select")
    home.click(boxes.first)
    home.click(boxes.nth(4), with_shift=True)
    home.button("Retrain selected symbols")
    expect(home.page.locator("#result_list tbody tr")).to_have_count(5)
    assert "/training/?id__in=" in home.page.url
    assert home.clicks == 4
    assert Training.objects.active().count() == 5


def test_five_symbols_by_name_are_retrained_and_watched_with_two_clicks(home: Home) -> None:
    home.type(" ".join(TICKERS[1:]))
    home.click(home.page.locator("#action-toggle"))
    home.button("Retrain selected symbols")
    expect(home.page.locator("#result_list tbody tr")).to_have_count(5)
    assert home.clicks == 2


def test_a_version_is_rolled_back_for_good_with_three_clicks(home: Home) -> None:
    symbol = Symbol.objects.get(ticker="PETR4.SA")
    first, _ = publish_model(symbol), publish_model(symbol)
    home.table("Model versions")
    home.click(home.page.get_by_role("row", name="PETR4.SA v1").get_by_role("link", name="v1", exact=True))
    home.button("Activate and pin")
    home.says("PETR4.SA v1 is active, and stays so until it is unpinned.")
    assert home.clicks == 3
    symbol.refresh_from_db()
    assert symbol.pinned_version == first


def test_a_failed_training_says_why_and_is_tried_again_with_two_clicks(home: Home) -> None:
    make_training(Symbol.objects.get(ticker="PETR4.SA"), state=TrainingState.FAILED, error="Only 12 bars, 490 are needed.")
    home.table("Trainings")
    expect(home.page.get_by_role("row", name="PETR4.SA")).to_contain_text("Only 12 bars, 490 are needed.")
    home.button("Try again")
    home.says("1 training started.")
    assert home.clicks == 2
    assert Training.objects.active().get().symbol == Symbol.objects.get(ticker="PETR4.SA")


def test_a_list_is_a_file_after_two_clicks(home: Home) -> None:
    home.table("Symbols")
    with home.page.expect_download() as download:
        home.click(home.page.get_by_role("link", name="CSV", exact=True))
    assert download.value.suggested_filename == "symbols.csv"
    assert [line.split(",")[0] for line in download.value.path().read_text().splitlines()] == ["symbol", *TICKERS]
    assert home.clicks == 2


def test_a_symbol_is_added_with_two_clicks(home: Home, settings: Settings) -> None:
    settings.PRICE_SOURCE = "sample"
    home.click(home.page.locator(".model-symbol").get_by_role("link", name="Add").first)
    home.page.get_by_label("Symbols").fill("SAMPLE7")
    home.button("Add symbols")
    expect(home.page.get_by_role("row", name="SAMPLE7")).to_contain_text("added")
    assert home.clicks == 2
    assert Symbol.objects.filter(ticker="SAMPLE7").exists()


def test_a_symbol_is_removed_with_two_clicks(home: Home) -> None:
    home.type("petr4")
    home.click(home.page.get_by_role("link", name="Remove", exact=True))
    home.button("Take out of service")
    home.says("PETR4.SA is out of service.")
    assert home.clicks == 2


def test_a_symbol_is_paused_with_one_click(home: Home) -> None:
    home.type("petr4")
    home.button("Pause automatic training")
    home.says("Automatic training paused.")
    assert home.clicks == 1
    assert not Symbol.objects.trained_automatically().filter(ticker="PETR4.SA").exists()


def test_a_symbol_is_exported_and_retrained_on_its_page_of_a_phone(home: Home) -> None:
    symbol = Symbol.objects.get(ticker="PETR4.SA")
    add_bars(symbol, count=12)
    make_version(symbol)
    home.page.set_viewport_size({"width": 400, "height": 800})
    home.type("petr4")
    for name in ("Retrain", "Pause automatic training", "Pin version"):
        expect(home.page.get_by_role("button", name=name, exact=True)).to_be_in_viewport()
    assert home.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert ModelVersion.objects.count() == 1
