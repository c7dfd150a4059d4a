"""The lists of the admin: filters, links to symbols, the search of the header, and CSV."""

import csv
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from forecasting.api import csv_lists
from forecasting.models import Finding, Forecast, Key, ModelVersion, Restatement, Symbol, Training, Webhook
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingState
from forecasting.prices.calendars import last_completed_session, previous_session
from tests.admin_pages import MODELS, Rows, one_of_each, page, text_of
from tests.factories import add_bar, make_finding, make_forecast, make_symbol, make_training, make_version
from tests.test_admin_records import scored

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows() -> Rows:
    """One row of each table."""
    return one_of_each()


@pytest.fixture
def viewer() -> Client:
    """Staff who may see everything and do nothing."""
    user = User.objects.create_user("ana", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    return client


def listed(client: Client, **query: str) -> set[str]:
    """The tickers in the list of symbols."""
    return {symbol.ticker for symbol in client.get(page(Symbol, "changelist"), query).context["cl"].result_list}


def lines_of(client: Client, model: type[Model], **query: str) -> list[dict[str, str]]:
    """The lines of the list's file."""
    response = client.get(page(model, "csv"), query)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(StringIO(text)))


# Filters


def test_stale_symbols_are_found_by_the_calendar_of_their_exchange(admin_client: Client) -> None:
    now = timezone.now()
    for ticker, missing in (("AAA", 0), ("BBB", 1), ("CCC", 2), ("DDD.SA", 2)):
        symbol = make_symbol(ticker, upstream_state=UpstreamState.OK)
        day = last_completed_session(symbol.calendar, now=now)
        for _ in range(missing):
            day = previous_session(symbol.calendar, before=day)
        add_bar(symbol, day, 100.0)
    add_bar(make_symbol("EEE", removed_at=now), date(2024, 1, 2), 100.0)
    make_symbol("FFF")
    assert listed(admin_client, prices="stale") == {"CCC", "DDD.SA"}
    assert listed(admin_client, prices="current") == {"AAA", "BBB"}


def test_paused_and_pinned_symbols_are_found(admin_client: Client) -> None:
    make_symbol("AAA", paused_at=timezone.now())
    make_symbol("BBB", pinned_version=make_version(make_symbol("CCC")))
    assert listed(admin_client, training="paused") == {"AAA"}
    assert listed(admin_client, training="automatic") == {"BBB", "CCC"}
    assert listed(admin_client, version="pinned") == {"BBB"}
    assert listed(admin_client, version="unpinned") == {"AAA", "CCC"}


def test_the_filter_of_coverage_finds_what_stands_out_in_the_list(admin_client: Client) -> None:
    for ticker, inside in (("AAA", 24), ("BBB", 25), ("CCC", 32), ("DDD", 38), ("EEE", 40)):
        scored(make_symbol(ticker), inside=inside, outside=40 - inside)
    lines = text_of(admin_client, page(Symbol, "changelist")).split("<tr>")
    amber = {
        ticker for ticker in ("AAA", "BBB", "CCC", "DDD", "EEE") for line in lines if f">{ticker}</a>" in line and "badge-w" in line
    }
    assert listed(admin_client, record="coverage") == amber == {"AAA", "EEE"}


def test_the_filter_of_losses_finds_what_is_certainly_above_the_reference(admin_client: Client) -> None:
    scored(make_symbol("AAA"), inside=32, outside=8, ratio=1.2)
    scored(make_symbol("BBB"), inside=32, outside=8, ratio=1.02)  # within chance
    scored(make_symbol("CCC"), inside=3, outside=1, ratio=1.5)  # too few
    scored(make_symbol("DDD"), inside=32, outside=8)  # without losses
    assert listed(admin_client, record="loss") == {"AAA"}


@pytest.mark.parametrize("query", [{"prices": "stale"}, {"record": "coverage"}, {"record": "loss"}, {"training": "paused"}])
def test_a_filter_takes_no_query_for_each_symbol(admin_client: Client, query: dict[str, str]) -> None:
    def queries_with(count: int) -> int:
        for number in range(Symbol.objects.count(), count):
            symbol = make_symbol(f"SAMPLE{number}", paused_at=timezone.now())
            add_bar(symbol, date(2024, 1, 2), 100.0)
            scored(symbol, inside=1, outside=40, ratio=2.0)
        with CaptureQueriesContext(connection) as queries:
            assert len(listed(admin_client, **query)) == count
        return len(queries)

    assert queries_with(1) == queries_with(5)


# Links


@pytest.mark.parametrize("model", [ModelVersion, Forecast, Training, Restatement, Finding])
@pytest.mark.parametrize("kind", ["changelist", "change"])
def test_the_ticker_links_to_the_symbol(admin_client: Client, rows: Rows, model: type[Model], kind: str) -> None:
    keys = [rows[model].pk] if kind == "change" else []
    link = f'<a href="{page(Symbol, "change", rows[Symbol].pk)}">BBAS3.SA</a>'
    assert link in text_of(admin_client, page(model, kind, *keys))


def test_leads_link_to_their_symbols(admin_client: Client) -> None:
    leads = [{"symbol": "SPY", "session": "2025-06-02", "percentage": 0.8}]
    known: dict[str, Any] = {
        "known_until": datetime(2025, 6, 3, 6, tzinfo=UTC),
        "target_opens": datetime(2025, 6, 3, 13, tzinfo=UTC),
    }
    forecast = make_forecast(
        make_version(make_symbol()), date(2025, 6, 2), leads=leads, basis="lead", issued_at=known["known_until"], **known
    )
    lead = make_symbol("SPY")
    text = text_of(admin_client, page(Forecast, "change", forecast.pk))
    assert f'<a href="{page(Symbol, "find")}?q=SPY">SPY</a>' in text
    assert admin_client.get(page(Symbol, "find"), {"q": "SPY"})["Location"] == page(Symbol, "change", lead.pk)


# The search of the header


def test_every_page_has_the_search(admin_client: Client, viewer: Client) -> None:
    for client in (admin_client, viewer):
        assert page(Symbol, "find") in text_of(client, "/admin/")
        assert page(Symbol, "find") in text_of(client, page(Training, "changelist"))


def test_staff_who_may_not_see_symbols_have_no_search() -> None:
    client = Client()
    client.force_login(User.objects.create_user("ben", is_staff=True))
    assert page(Symbol, "find") not in text_of(client, "/admin/")
    assert client.get(page(Symbol, "find"), {"q": "AAA"}).status_code == 403


def test_the_search_finds_a_symbol_by_its_ticker_or_its_start(admin_client: Client) -> None:
    symbol = make_symbol("PETR4.SA")
    for text in ("PETR4.SA", " petr4.sa ", "petr"):
        assert admin_client.get(page(Symbol, "find"), {"q": text})["Location"] == page(Symbol, "change", symbol.pk)


def test_the_search_lists_what_may_be_meant(admin_client: Client) -> None:
    make_symbol("PETR3.SA")
    make_symbol("PETR4.SA")
    assert admin_client.get(page(Symbol, "find"), {"q": "petr"})["Location"] == f"{page(Symbol, 'changelist')}?q=PETR"


def test_the_search_lists_several_symbols(admin_client: Client) -> None:
    for ticker in ("AAA", "BBB", "CCC"):
        make_symbol(ticker)
    response = admin_client.get(page(Symbol, "find"), {"q": "aaa, ccc"}, follow=True)
    assert {symbol.ticker for symbol in response.context["cl"].result_list} == {"AAA", "CCC"}


def test_a_name_that_is_no_symbol_can_be_added_by_those_who_may(admin_client: Client, viewer: Client) -> None:
    assert admin_client.get(page(Symbol, "find"), {"q": "new1"})["Location"] == f"{page(Symbol, 'add')}?symbols=NEW1"
    assert viewer.get(page(Symbol, "find"), {"q": "new1"})["Location"] == f"{page(Symbol, 'changelist')}?q=NEW1"


@pytest.mark.parametrize("text", ["", " ,\0"])
def test_an_empty_search_lists_all_symbols(admin_client: Client, text: str) -> None:
    assert admin_client.get(page(Symbol, "find"), {"q": text})["Location"] == page(Symbol, "changelist")


# CSV


@pytest.mark.parametrize("model", [*MODELS, Key, Webhook])
def test_every_list_links_to_itself_as_a_file_that_has_its_rows(admin_client: Client, rows: Rows, model: type[Model]) -> None:
    assert f'<a href="{page(model, "csv")}"' in text_of(admin_client, page(model, "changelist"))
    lines = lines_of(admin_client, model)
    assert len(lines) == model._default_manager.count()
    assert not any("<" in heading + cell for line in lines for heading, cell in line.items())


def test_a_file_has_the_texts_of_the_list_and_the_numbers_behind_them(admin_client: Client, rows: Rows) -> None:
    (line,) = lines_of(admin_client, Symbol)
    assert (line["symbol"], line["active version"]) == ("BBAS3.SA", "v3; 0 days old")
    assert line["newest forecast"] == "101.00 BRL (+1.00 %); 2025-06-03"
    assert float(line["forecast_change"]) == pytest.approx(1.0)
    assert float(line["live.coverage"]) == 0.0


def test_a_file_of_forecasts_has_their_numbers(admin_client: Client, rows: Rows) -> None:
    (line,) = lines_of(admin_client, Forecast)
    assert [line[name] for name in ("as_of", "price", "interval_low", "interval_high")] == ["2025-06-02", "101.0", "99.0", "103.0"]
    assert float(line["score.actual_close"]) == 104.5


def test_a_file_has_whole_texts_where_the_list_cuts_them(admin_client: Client) -> None:
    error = "It failed, because <this> & that. " * 10
    make_training(make_symbol(), state=TrainingState.FAILED, error=error)
    assert error not in text_of(admin_client, page(Training, "changelist"))
    (line,) = lines_of(admin_client, Training)
    assert line["error"] == error


def test_a_file_has_only_the_rows_that_pass_the_filters(admin_client: Client, rows: Rows) -> None:
    other = make_symbol("AAA")
    assert [line["symbol"] for line in lines_of(admin_client, Symbol, q="bbas")] == ["BBAS3.SA"]
    assert lines_of(admin_client, Forecast, symbol__id__exact=str(other.pk)) == []
    text = text_of(admin_client, page(Symbol, "changelist"), q="bbas")
    assert f'href="{page(Symbol, "csv")}?q=bbas"' in text


def test_a_file_runs_no_formula(admin_client: Client) -> None:
    make_finding(make_symbol(), text='=HYPERLINK("http://example.org")')
    assert lines_of(admin_client, Finding)[0]["text"] == '\'=HYPERLINK("http://example.org")'


def test_a_file_of_trainings_has_no_column_of_buttons(admin_client: Client, rows: Rows) -> None:
    (line,) = lines_of(admin_client, Training)
    assert "" not in line
    assert "Try again" not in line.values()


def test_a_wrong_filter_leads_back_to_the_list(admin_client: Client) -> None:
    response = admin_client.get(page(Symbol, "csv"), {"id__exact": "x"})
    assert response["Location"] == f"{page(Symbol, 'changelist')}?e=1"


def test_a_second_file_at_once_is_refused_in_words(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lists, "PATIENCE_S", 0.01)
    first = admin_client.get(page(Symbol, "csv"))
    try:
        answer = admin_client.get(page(Symbol, "csv"), {"q": "a"}, follow=True)
        assert [str(message) for message in answer.context["messages"]] == ["Another CSV file is being sent; try again shortly."]
    finally:
        b"".join(first.streaming_content)  # type: ignore[attr-defined]  # which closes it


def test_staff_get_files_only_of_what_they_may_see() -> None:
    client = Client()
    client.force_login(User.objects.create_user("ben", is_staff=True))
    assert client.get(page(Symbol, "csv")).status_code == 403


def test_a_file_takes_as_many_queries_for_twenty_rows_as_for_two(admin_client: Client) -> None:
    def queries_with(count: int) -> int:
        for number in range(Symbol.objects.count(), count):
            make_forecast(make_version(make_symbol(f"SAMPLE{number}")), date(2025, 6, 2), actual_close=100.5)
        with CaptureQueriesContext(connection) as queries:
            assert len(lines_of(admin_client, Symbol)) == count
        return len(queries)

    assert queries_with(2) == queries_with(20)
