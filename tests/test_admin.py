"""The admin's pages: lists and details show their rows, with a fixed number of queries."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from pytest_django import Settings

from forecasting.models import Delivery, Forecast, ModelVersion, Quote, RequestedName, Restatement, Symbol, Training, Webhook
from forecasting.models.scores import ScoreReason
from tests.admin_pages import AS_OF, MODELS, Rows, one_of_each, page, text_of
from tests.factories import (
    AT_LAST_CLOSE,
    add_bars,
    make_forecast,
    make_name,
    make_restatement,
    make_score,
    make_symbol,
    make_training,
    make_version,
)

pytestmark = pytest.mark.django_db

LAST = ("RequestedName", "Key", "Webhook", "Delivery")


@pytest.fixture
def rows() -> Rows:
    """One row of each table."""
    return one_of_each()


@pytest.mark.parametrize("model", MODELS)
def test_a_list_shows_its_row(admin_client: Client, rows: Rows, model: type[Model]) -> None:
    assert page(model, "change", rows[model].pk) in text_of(admin_client, page(model, "changelist"))


@pytest.mark.parametrize("model", MODELS)
def test_a_row_has_a_page_of_its_own(admin_client: Client, rows: Rows, model: type[Model]) -> None:
    text = text_of(admin_client, page(model, "change", rows[model].pk))

    assert "<input" not in text.split('id="content-main"')[1].replace('<input type="hidden"', "")


def test_the_index_shows_what_people_look_for_first(admin_client: Client) -> None:
    response = admin_client.get(reverse("admin:index"))

    apps = response.context["app_list"]
    assert [app["app_label"] for app in apps] == ["forecasting", "django_q", "auth", "admin"]
    names = [model["object_name"] for model in apps[0]["models"]]
    assert names[:5] == ["Symbol", "ModelVersion", "Forecast", "Training", "JobRun"]
    assert names[5:] == ["WorkerProcess", "Alert", "Upstream", "Restatement", "Finding", *LAST]
    assert "Django administration" not in response.content.decode()


@pytest.mark.parametrize("address", ["admin:index", "admin:login", "admin:forecasting_symbol_changelist"])
def test_every_page_says_that_prices_are_simulated(client: Client, admin_user: User, settings: Settings, address: str) -> None:
    settings.PRICE_SOURCE = "sample"
    if address != "admin:login":
        client.force_login(admin_user)

    assert "stockpred \N{EN DASH} SIMULATED PRICES" in text_of(client, reverse(address))


@pytest.mark.parametrize("source", ["csv", "yahoo"])
def test_no_page_calls_a_markets_prices_simulated(admin_client: Client, settings: Settings, source: str) -> None:
    settings.PRICE_SOURCE = source

    assert "SIMULATED" not in text_of(admin_client, reverse("admin:index"))


def test_the_symbols_list_shows_price_model_forecast_and_price_source(admin_client: Client, rows: Rows) -> None:
    text = text_of(admin_client, page(Symbol, "changelist"))

    assert "v3" in text
    assert "0 days old" in text
    assert "101.00 BRL (+1.00 %)" in text
    assert "2025-06-03" in text
    assert 'title="Connection refused."' in text


def test_a_symbol_without_bars_or_model_is_listed(admin_client: Client) -> None:
    make_symbol("NEW1")

    assert "NEW1" in text_of(admin_client, page(Symbol, "changelist"))


@pytest.mark.parametrize(
    ("exchange", "shown"),
    [
        ("XKUW", "Kuwait"),
        ("WEEKDAYS", "unknown market"),
        ("WEEK:MTWT--S", "learned: Mon Tue Wed Thu Sun"),
        ("24/7", "24/7"),
    ],
)
def test_a_symbol_shows_where_it_trades_or_that_this_is_not_known(admin_client: Client, exchange: str, shown: str) -> None:
    symbol = make_symbol("AAA.XY", exchange=exchange)

    assert shown in text_of(admin_client, page(Symbol, "changelist"))
    assert shown in text_of(admin_client, page(Symbol, "change", symbol.pk))


def test_a_symbol_that_no_source_knows_is_listed_without_an_exchange(admin_client: Client) -> None:
    make_symbol("NOPE", exchange=None)

    assert "XNYS" not in text_of(admin_client, page(Symbol, "changelist"))


def test_the_newest_forecast_is_of_the_last_session(admin_client: Client) -> None:
    version = make_version(make_symbol())
    make_forecast(version, AS_OF, price=111.0)
    make_forecast(version, AS_OF - timedelta(days=7), price=222.0)

    text = text_of(admin_client, page(Symbol, "changelist"))

    assert "111.00" in text
    assert "222.00" not in text


def test_a_symbols_page_shows_its_newest_ten_bars(admin_client: Client) -> None:
    symbol = make_symbol()
    bars = add_bars(symbol, count=12)

    text = text_of(admin_client, page(Symbol, "change", symbol.pk))

    assert f"{bars[-1].close:,.2f}" in text
    assert text.split('class="figures"')[1].split("</table>")[0].count('scope="row"') == 10


def test_a_symbols_page_shows_the_last_price_of_the_session_and_why_a_newer_one_was_refused(admin_client: Client) -> None:
    traded = datetime(2025, 6, 3, 15, 25, tzinfo=UTC)
    prices = {"price": 101.5, "open": 100.0, "high": 102.0, "low": 99.5, "volume": 1000.0}
    symbol = make_symbol(currency="USD")
    Quote.objects.create(
        symbol=symbol, asked_at=traded, session=traded.date(), time=traded, problem="no trade known since 11:25 EDT", **prices
    )
    text = text_of(admin_client, page(Symbol, "change", symbol.pk))
    for shown in ("101.50 USD", date_format(traded, "DATETIME_FORMAT"), "o trade known since 11:25 EDT"):
        assert shown in text


@pytest.mark.parametrize("model", [Symbol, ModelVersion, Forecast, Training, Restatement])
def test_lists_are_searched_by_symbol(admin_client: Client, rows: Rows, model: type[Model]) -> None:
    address = page(model, "changelist")

    assert "BBAS3.SA" in text_of(admin_client, address, q="bbas")
    assert "BBAS3.SA" not in text_of(admin_client, address, q="PETR")


@pytest.mark.parametrize("model", [Symbol, ModelVersion, Forecast, Training, Restatement, RequestedName])
def test_a_list_takes_as_many_queries_for_twenty_rows_as_for_two(admin_client: Client, model: type[Model]) -> None:
    def queries_with(count: int) -> int:
        for number in range(Symbol.objects.count(), count):
            symbol = make_symbol(f"SAMPLE{number}")
            add_bars(symbol, count=2)
            make_restatement(symbol)
            make_name(f"MADEUP{number}")
            make_forecast(make_version(symbol, training=make_training(symbol)), AS_OF, actual_close=100.5)
        with CaptureQueriesContext(connection) as queries:
            text = text_of(admin_client, page(model, "changelist"))
        assert f"{count} {model._meta.verbose_name_plural}" in text
        return len(queries)

    assert queries_with(2) == queries_with(20)


def test_a_versions_page_shows_its_errors_beside_the_naive_forecasts(admin_client: Client, rows: Rows) -> None:
    text = text_of(admin_client, page(ModelVersion, "change", rows[ModelVersion].pk))

    assert "<td>0.1235 BRL</td><td>0.1255 BRL</td><td>-1.59 %</td>" in text
    assert "<td>1.235 %</td><td>1.245 %</td>" in text
    assert "80.1 %" in text
    assert 'title="abababab' in text
    assert "1,360 bars, 2020-01-02 to 2025-06-02" in text


def test_a_versions_page_shows_its_live_record(admin_client: Client, rows: Rows) -> None:
    text = text_of(admin_client, page(ModelVersion, "change", rows[ModelVersion].pk))

    assert "<td>3.5000 BRL</td><td>4.5000 BRL</td>" in text


def test_a_base_version_has_a_page(admin_client: Client) -> None:
    base = make_version(None)

    assert "base: trained on all symbols together" in text_of(admin_client, page(ModelVersion, "change", base.pk))


def test_a_base_says_the_unit_of_its_errors_the_age_of_its_data_and_what_the_test_of_its_median_found(admin_client: Client) -> None:
    ended = timezone.localdate() - timedelta(days=400)
    base = make_version(None, metrics=AT_LAST_CLOSE, data_end=ended)

    text = text_of(admin_client, page(ModelVersion, "change", base.pk))

    assert "<td>0.1255 share of the last close</td>" in text
    assert 'badge-warning" title="">data 400 days old</span>' in text
    assert "last close; weight of the median: 0.00; tried 0.43: not significantly better than the last close" in text
    assert "(p 0.312; BVMF 0.620, XNYS 0.181)" in text


@pytest.mark.parametrize("kind", ["change", "changelist"])
def test_what_the_last_close_makes_a_constant_is_a_dash(admin_client: Client, kind: str) -> None:
    version = make_version(make_symbol(), metrics=AT_LAST_CLOSE)

    text = text_of(admin_client, page(ModelVersion, kind, *([version.pk] if kind == "change" else [])))

    assert "1.000" in text
    assert "0.5000" not in text
    assert "50.0 %" not in text


def test_a_forecast_of_the_last_close_is_named_so(admin_client: Client) -> None:
    make_forecast(make_version(make_symbol()), AS_OF, price=100.0)

    assert "the last close" in text_of(admin_client, page(Forecast, "changelist"))


def test_a_forecast_is_listed_beside_what_happened(admin_client: Client, rows: Rows) -> None:
    text = text_of(admin_client, page(Forecast, "changelist"))

    assert [each in text for each in ("104.50 BRL", "3.50", "4.50", "outside")] == [True] * 4


def test_a_forecasts_page_shows_all_its_scores(admin_client: Client, rows: Rows) -> None:
    forecast = Forecast.objects.get()
    forecast.scores.update(latest=False)
    make_score(forecast, 98.0, actual_date=date(2025, 6, 4), reason=ScoreReason.CORRECTED)

    text = text_of(admin_client, page(Forecast, "change", forecast.pk))

    assert [each in text for each in ("104.50 BRL", "98.00 BRL", "corrected", "2025-06-04")] == [True] * 4


@pytest.mark.parametrize(("choice", "shown"), [("yes", "AAA"), ("no", "BBB"), ("unknown", "CCC")])
def test_forecasts_are_chosen_by_what_became_of_them(admin_client: Client, choice: str, shown: str) -> None:
    for ticker, actual in (("AAA", 101.0), ("BBB", 110.0), ("CCC", None)):
        make_forecast(make_version(make_symbol(ticker)), AS_OF, actual_close=actual)

    text = text_of(admin_client, page(Forecast, "changelist"), inside=choice)

    assert [ticker for ticker in ("AAA", "BBB", "CCC") if f">{ticker}</a>" in text] == [shown]


@pytest.mark.parametrize("column", range(1, 11))
def test_forecasts_are_sorted_by_any_column(admin_client: Client, rows: Rows, column: int) -> None:
    assert "BBAS3.SA" in text_of(admin_client, page(Forecast, "changelist"), o=str(column))


@pytest.mark.parametrize(
    ("reason", "expires_in", "shown"),
    [
        ("", timedelta(hours=1), "waiting"),
        ("No such symbol.", timedelta(hours=1), "unknown"),
        ("No such symbol.", timedelta(0), "expired"),
    ],
)
def test_a_name_that_is_no_symbol_shows_what_is_known_of_it(
    admin_client: Client, reason: str, expires_in: timedelta, shown: str
) -> None:
    name = make_name("APPL", reason=reason, expires_at=timezone.now() + expires_in)

    for address in (page(RequestedName, "changelist"), page(RequestedName, "change", name.pk)):
        text = text_of(admin_client, address)
        assert f">{shown}</span>" in text
        assert reason in text


@pytest.mark.parametrize(("empty", "shown"), [("1", "WAITS"), ("0", "NOPE")])
def test_names_are_chosen_by_whether_the_price_source_has_answered(admin_client: Client, empty: str, shown: str) -> None:
    make_name("WAITS")
    make_name("NOPE", reason="No such symbol.")

    text = text_of(admin_client, page(RequestedName, "changelist"), reason__isempty=empty)

    assert [name for name in ("WAITS", "NOPE") if f">{name}</a>" in text] == [shown]


def test_a_restatement_shows_session_ratio_and_reason(admin_client: Client, rows: Rows) -> None:
    text = text_of(admin_client, page(Restatement, "changelist"))
    assert all(shown in text for shown in ("2025-06-02", ">split</span>", "0.5", "1360"))


def test_a_symbols_page_shows_its_restatements(admin_client: Client, rows: Rows) -> None:
    text = text_of(admin_client, page(Symbol, "change", rows[Symbol].pk))
    assert "all restatements" in text
    assert "<td>0.5</td>" in text


def test_a_version_on_revised_bars_says_so(admin_client: Client, rows: Rows) -> None:
    assert "bars revised since" in text_of(admin_client, page(ModelVersion, "changelist"))
    assert "revised since" in text_of(admin_client, page(ModelVersion, "change", rows[ModelVersion].pk))


def test_staff_add_a_webhook_and_read_its_secret(admin_client: Client, admin_user: User) -> None:
    form = {"url": "https://example.org/hook", "events": ["training.ended", "forecast.scored"], "active": "on"}
    assert admin_client.post(page(Webhook, "add"), form).status_code == 302
    webhook = Webhook.objects.get()
    assert (webhook.events, webhook.created_by) == (form["events"], f"account {admin_user.get_username()}")
    assert webhook.secret in text_of(admin_client, page(Webhook, "change", webhook.pk))


def test_a_webhook_goes_with_its_deliveries_and_nobody_else_reads_its_address(admin_client: Client, client: Client) -> None:
    delivery = one_of_each()[Delivery]
    Webhook.objects.update(url="https://ana:secret@example.org/hook/secret")
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.groups.set(Group.objects.filter(name="Viewer"))
    client.force_login(viewer)
    for address in (page(Delivery, "changelist"), page(Delivery, "change", delivery.pk), page(Delivery, "csv")):
        text = b"".join(client.get(address)).decode()
        assert "example.org" in text
        assert "secret" not in text
    admin_client.post(page(Webhook, "delete", Webhook.objects.get().pk), {"post": "yes"})
    assert not Webhook.objects.exists()
    assert not Delivery.objects.exists()
    assert "secret" not in str(LogEntry.objects.values_list("object_repr", flat=True))


def test_a_webhook_without_events_is_refused(admin_client: Client) -> None:
    assert admin_client.post(page(Webhook, "add"), {"url": "https://example.org/hook"}).status_code == 200
    assert not Webhook.objects.exists()
