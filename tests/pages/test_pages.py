"""The pages for visitors: what they say of forecasts, of their record, and of names without either."""

import re
from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.forecasts import Basis
from forecasting.models.restatements import RestatementReason
from forecasting.models.trainings import TrainingState
from forecasting.models.versions import VersionState
from forecasting.pages import previews
from tests.factories import (
    add_bar,
    add_bars,
    make_forecast,
    make_name,
    make_restatement,
    make_symbol,
    make_training,
    make_version,
)
from tests.pages.conftest import Page

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("today")]

AS_OF = date(2025, 6, 2)


def followed(ticker: str, **values: Any) -> ModelVersion:
    """The version of a symbol with bars and a forecast from the newest one."""
    version = make_version(make_symbol(ticker))
    assert version.symbol
    add_bars(version.symbol, count=12)
    make_forecast(version, AS_OF, **values)
    return version


@pytest.fixture
def petr4() -> ModelVersion:
    """A symbol with everything."""
    return followed("PETR4.SA")


def test_an_empty_service_says_so(read: Page) -> None:
    text = read("/")
    assert "No forecast has been scored yet." in text
    assert "There are no forecasts yet." in text


def test_the_front_page_shows_forecasts_with_charts(read: Page, petr4: ModelVersion) -> None:
    text = read("/")
    assert 'href="/s/PETR4.SA"' in text
    assert "99.00 to 103.00 BRL" in text
    assert "80 %, Tuesday 3 June 2025" in text
    assert text.count("<svg") == 1


@pytest.mark.parametrize("stands", [True, False])
@pytest.mark.parametrize("address", ["/", "/s/PETR4.SA"])
def test_after_a_split_a_forecast_is_in_prices_of_today(read: Page, petr4: ModelVersion, address: str, stands: bool) -> None:
    if not stands:
        ModelVersion.objects.update(state=VersionState.RETIRED)
        make_version(petr4.symbol, number=2)  # which has made no forecast yet
    _change_prices(petr4, 0.1, RestatementReason.SPLIT)
    assert "9.90 to 10.30 BRL" in read(address)


def test_a_correction_leaves_a_forecast_as_it_was_made(read: Page, petr4: ModelVersion) -> None:
    _change_prices(petr4, 1.01, RestatementReason.CORRECTION)
    assert "99.00 to 103.00 BRL" in read("/")


def _change_prices(version: ModelVersion, ratio: float, reason: RestatementReason) -> None:
    """All bars of its symbol have the last close that its forecast knew, times `ratio`."""
    assert version.symbol
    close = ratio * version.forecasts.get().last_close
    version.symbol.bars.update(open=close, high=close, low=close, close=close)
    make_restatement(version.symbol, reason=reason, ratio=ratio)


def test_the_front_page_tells_the_record(read: Page, petr4: ModelVersion) -> None:
    make_forecast(petr4, date(2025, 5, 29), actual_close=110.0)
    text = read("/")
    assert "0.0 % of 1 close was inside" in text
    assert "1 symbol, 1 session: Friday 30 May 2025" in text


def test_symbols_that_are_not_followed_are_not_shown(read: Page, petr4: ModelVersion) -> None:
    followed("GONE3.SA")
    Symbol.objects.named(["GONE3.SA"]).update(removed_at="2025-06-01T00:00Z")
    followed("LEAD3.SA")
    Symbol.objects.named(["LEAD3.SA"]).update(followed=False)
    text = read("/")
    assert "GONE3.SA" not in text
    assert "LEAD3.SA" not in text


def test_a_long_list_has_pages(read: Page) -> None:
    for number in range(26):
        followed(f"AA{number:02}")
    assert "Page 1 of 2, 26 symbols" in read("/")
    assert read("/?page=2").count('class="visitor-card"') == 2
    read("/?page=3", status=404)
    read("/?page=x", status=404)


def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries, petr4: ModelVersion
) -> None:
    client.get("/")
    with django_assert_num_queries(2):  # budget, cards
        client.get("/")
    for number in range(5):
        followed(f"AA{number:02}", actual_close=101.0)
    client.get("/s/PETR4.SA")
    with django_assert_num_queries(4):  # budget, answer, closes, record
        client.get("/s/PETR4.SA")


@pytest.mark.parametrize("asked", ["petr4.sa", " PETR4.SA "])
def test_a_search_leads_to_the_symbol(client: Client, asked: str) -> None:
    assert client.get("/", {"symbol": asked}).headers["Location"] == "/s/PETR4.SA"


def test_a_search_for_an_index_is_quoted(client: Client, read: Page) -> None:
    address = client.get("/", {"symbol": "^gspc"}).headers["Location"]
    assert "^GSPC is not followed yet" in read(address, status=404)


def test_a_search_that_is_no_symbol_is_explained(read: Page) -> None:
    text = read("/?symbol=a b<script>", status=400)
    assert "cannot be a symbol. A symbol has 1 to 24 characters" in text
    assert "<script>" not in text


def test_a_symbol_page_tells_what_predict_says(client: Client, read: Page, petr4: ModelVersion) -> None:
    summary = client.get("/models/predict?symbols=PETR4.SA").json()["predictions"]["PETR4.SA"]["summary"]
    text = read("/s/PETR4.SA")
    assert summary in text
    assert "Closes up to Monday 2 June 2025." in text
    assert "Made by version 1 of the symbol\N{RIGHT SINGLE QUOTATION MARK}s own model" in text
    assert "No forecast of this symbol has been scored yet." in text


def test_a_symbol_page_knows_when_its_forecast_is_old(read: Page, petr4: ModelVersion, time_machine: Any) -> None:
    assert "is old" not in read("/s/PETR4.SA")
    time_machine.move_to("2025-06-10T12:00Z")
    assert "This forecast is old: it knows no prices after Monday 2 June 2025." in read("/s/PETR4.SA")


def test_a_new_version_without_a_forecast_leaves_the_last_one(read: Page, petr4: ModelVersion) -> None:
    ModelVersion.objects.update(state=VersionState.RETIRED)
    make_version(petr4.symbol, number=2)
    text = read("/s/PETR4.SA")
    assert "99.00 to 103.00 BRL" in text
    assert "is old" not in text
    assert "data-due" in text


def test_a_newer_bar_without_a_forecast_leaves_the_last_one(read: Page, petr4: ModelVersion) -> None:
    assert petr4.symbol
    add_bar(petr4.symbol, date(2025, 6, 3), 100.0)
    assert "99.00 to 103.00 BRL" in read("/s/PETR4.SA")


def test_other_markets_that_are_known_are_named(read: Page, petr4: ModelVersion) -> None:
    known = {"known_until": "2025-06-03T11:00Z", "issued_at": "2025-06-03T11:00Z", "target_opens": "2025-06-03T13:00Z"}
    leads = [{"symbol": "SPY", "session": "2025-06-02", "percentage": 0.8}]
    make_forecast(petr4, AS_OF, basis=Basis.LEAD, leads=leads, interval_low=98.0, **known)
    text = read("/s/PETR4.SA")
    assert "98.00 to 103.00 BRL" in text
    assert "what other markets have done since (SPY +0.8 %)" in text


def test_lower_case_leads_to_upper_case(client: Client) -> None:
    answer = client.get("/s/petr4.sa")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/s/PETR4.SA")


def test_what_can_be_no_symbol_is_explained(read: Page) -> None:
    assert "This is an ISIN" in read("/s/US0378331005", status=404)


def test_an_unknown_name_is_explained_and_nothing_starts(client: Client, read: Page) -> None:
    text = read("/s/NEW3.SA", status=404)
    assert "NEW3.SA is not followed yet" in text
    assert '<meta name="robots" content="noindex">' in text
    assert not Symbol.objects.exists()
    assert not Training.objects.exists()


def test_an_unknown_name_shows_what_the_source_said_and_what_may_be_meant(read: Page, petr4: ModelVersion) -> None:
    make_name("PETR4", reason="unknown symbol")
    text = read("/s/PETR4", status=404)
    assert "The price source said: unknown symbol." in text
    assert 'Did you mean <a href="/s/PETR4.SA">' in text


def test_a_removed_symbol_is_gone(read: Page, petr4: ModelVersion) -> None:
    Symbol.objects.update(removed_at="2025-06-01T00:00Z")
    assert "was taken out of service by the operator" in read("/s/PETR4.SA", status=410)


def test_a_symbol_without_a_forecast_waits_for_its_training(read: Page) -> None:
    symbol = make_symbol("PETR4.SA")
    assert "There is no forecast yet." in read("/s/PETR4.SA")
    make_training(symbol, state=TrainingState.QUEUED)
    assert "Its model is being trained" in read("/s/PETR4.SA")


def test_social_networks_get_a_picture_only_if_it_has_been_drawn(client: Client, read: Page, petr4: ModelVersion) -> None:
    assert "og:image" not in read("/s/PETR4.SA")
    forecast = petr4.forecasts.get()
    previews.folder().mkdir(parents=True)
    (previews.folder() / previews.name(forecast.symbol_id, forecast.pk)).write_bytes(b"a picture")
    address = f"http://testserver/s/PETR4.SA/{forecast.pk}.png"
    assert f'<meta property="og:image" content="{address}">' in read("/s/PETR4.SA")
    picture = client.get(address)
    assert picture.getvalue() == b"a picture"
    assert (picture.headers["Content-Type"], picture.headers["Cache-Control"]) == ("image/png", "public, max-age=86400")


@pytest.mark.parametrize(
    "address",
    [
        "/s/PETR4.SA/999999999.png",
        f"/s/PETR4.SA/{'9' * 300}.png",
        "/s/NEW3.SA/1.png",
        "/s/%00/1.png",
        "/docs/security.md",
        "/docs/settings.py",
    ],
)
def test_what_is_not_there_is_a_page_too(read: Page, petr4: ModelVersion, address: str) -> None:
    assert "There is no such page" in read(address, status=404)


@pytest.mark.parametrize("address", ["/", "/s/PETR4.SA", "/models/symbols/PETR4.SA/chart"])
def test_a_cookie_that_is_no_session_is_that_of_a_stranger(client: Client, petr4: ModelVersion, address: str) -> None:
    response = client.get(address, HTTP_COOKIE='sessionid="\\000aaaaaaaaaa"')  # an escaped NUL, which Postgres refuses
    assert response.status_code == 200


def test_the_documentation_is_shown_as_it_was_written(client: Client) -> None:
    assert client.get("/docs/README.md").content.decode().startswith("# stockpred")


@pytest.mark.parametrize("address", ["/", "/s/PETR4.SA", "/s/NEW3.SA"])
def test_simulated_prices_are_unmistakable(client: Client, petr4: ModelVersion, settings: Settings, address: str) -> None:
    banner = "<strong>Simulated prices.</strong>"
    assert banner in client.get(address).content.decode()
    settings.PRICE_SOURCE = "yahoo"
    assert banner not in client.get(address).content.decode()


@pytest.mark.parametrize("address", ["/", "/s/PETR4.SA"])
def test_a_shared_link_names_simulated_prices(read: Page, petr4: ModelVersion, address: str) -> None:
    text = read(address)
    assert '<meta name="description" content="Simulated prices. ' in text
    assert re.search(r'<meta property="og:title" content="[^"]* \(simulated prices\)">', text)


def test_a_simulated_forecast_among_real_ones_is_called_so(read: Page, settings: Settings) -> None:
    settings.PRICE_SOURCE = "yahoo"
    followed("PETR4.SA", simulated=True)
    assert '<span class="visitor-tag">simulated</span>' in read("/")
    assert "This forecast was made from simulated prices." in read("/s/PETR4.SA")


def test_without_public_pages_the_front_page_is_swagger(
    client: Client, read: Page, petr4: ModelVersion, settings: Settings
) -> None:
    settings.PUBLIC_PAGES = False
    assert client.get("/").headers["Location"] == "/swagger"
    assert "PETR4.SA" not in read("/s/PETR4.SA", status=404).partition("</form>")[2]


def test_swagger_is_linked_for_those_who_may_see_it(client: Client, read: Page, settings: Settings) -> None:
    assert 'href="/swagger"' in read("/")
    settings.DOCS_FOR_STAFF_ONLY = True
    assert 'href="/swagger"' not in read("/")
    client.force_login(User.objects.create_user("ana", is_staff=True))
    assert 'href="/swagger"' in read("/")


def test_strangers_get_no_cookie_and_their_pages_may_be_kept(client: Client, petr4: ModelVersion) -> None:
    answer = client.get("/s/PETR4.SA")
    assert not answer.cookies
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert client.get("/s/PETR4.SA", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_a_page_for_somebody_with_a_login_is_private(client: Client) -> None:
    client.force_login(User.objects.create_user("ben"))
    assert client.get("/").headers["Cache-Control"] == "private, max-age=60"


def test_a_visitor_over_the_budget_gets_a_page(client: Client, read: Page, settings: Settings) -> None:
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 1
    client.get("/")
    assert "your address may send 1 requests a minute" in read("/", status=429).lower()
    assert int(client.get("/s/PETR4.SA").headers["Retry-After"]) <= 60


def test_only_the_page_with_a_chart_allows_styles_inside(client: Client, petr4: ModelVersion) -> None:
    assert "unsafe" not in client.get("/").headers["Content-Security-Policy"]
    policy = client.get("/s/PETR4.SA").headers["Content-Security-Policy"]
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "img-src 'self' data: blob:" in policy
    assert "default-src 'self'" in policy
