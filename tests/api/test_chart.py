"""The chart of a symbol: closes, forecasts as they were issued, and what is forecast now."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient
from time_machine import TimeMachineFixture

from forecasting.models import Forecast, ModelVersion, Quote, Symbol, Training
from forecasting.models.forecasts import Basis
from forecasting.models.versions import VersionState
from tests.api.conftest import Count, Predict, Send
from tests.api.serving import add_steady_bars, serve
from tests.factories import add_bar, add_bars, make_forecast, make_live_forecast, make_restatement, make_symbol, make_version

pytestmark = pytest.mark.django_db

CHART = "/models/symbols/{ticker}/chart"
DAYS = [date(2025, 5, 28), date(2025, 5, 29), date(2025, 5, 30), date(2025, 6, 2)]  # sessions in New York
LEAD = {"basis": Basis.LEAD, "leads": [], "known_until": datetime(2025, 6, 2, 8, tzinfo=UTC)}
LEAD |= {"issued_at": datetime(2025, 6, 2, 9, tzinfo=UTC), "target_opens": datetime(2025, 6, 2, 13, tzinfo=UTC)}


def with_closes(symbol: Symbol, closes: Sequence[float], days: Sequence[date] = DAYS) -> None:
    """Bars of these sessions."""
    for day, close in zip(days, closes, strict=True):
        add_bar(symbol, day, close)


@pytest.fixture
def version() -> ModelVersion:
    """The version of a symbol that closed at 100 in four sessions."""
    version = make_version(symbol := make_symbol())
    with_closes(symbol, [100.0] * 4)
    return version


def test_it_has_the_closes_and_the_forecasts_as_they_were_issued(get: Send, version: ModelVersion) -> None:
    issued_at = datetime(2025, 5, 29, 3, tzinfo=UTC)
    make_forecast(version, DAYS[0], actual_close=104.5, issued_at=issued_at)
    chart = get(CHART, ticker="SAMPLE1")
    assert chart["closes"] == [{"date": day.isoformat(), "close": 100.0} for day in DAYS]
    assert chart["forecasts"] == [
        {
            "price": 101.0,
            "low_80": 99.0,
            "high_80": 103.0,
            "low_90": 98.0,
            "high_90": 104.0,
            "session": "2025-05-29",
            "basis": "close",
            "version": 1,
            "kind": "symbol",
            "issued_at": "2025-05-29T03:00:00Z",
            "close": 104.5,
            "inside": False,
        }
    ]
    assert {name: chart[name] for name in ("symbol", "exchange", "currency", "decimals", "simulated", "level")} == {
        "symbol": "SAMPLE1",
        "exchange": "XNYS",
        "currency": "USD",
        "decimals": 2,
        "simulated": True,
        "level": 0.8,
    }


def test_a_forecast_that_is_not_scored_yet_is_neither_inside_nor_outside(get: Send, version: ModelVersion) -> None:
    make_forecast(version, DAYS[0])
    (forecast,) = get(CHART, ticker="SAMPLE1")["forecasts"]
    assert (forecast["close"], forecast["inside"]) == (None, None)


def test_forecasts_from_before_a_split_are_in_the_prices_after_it(get: Send) -> None:
    version = make_version(symbol := make_symbol())
    with_closes(symbol, [25.0, 26.0, 26.0, 26.0])
    make_forecast(version, DAYS[0], actual_close=104.0)
    make_restatement(symbol, date=DAYS[2], ratio=0.25)
    chart = get(CHART, ticker="SAMPLE1")
    (forecast,) = chart["forecasts"]
    assert [forecast[name] for name in ("price", "low_80", "high_90", "close")] == [25.25, 24.75, 26.0, 26.0]
    assert chart["restatements"] == [{"date": "2025-05-30", "reason": "split"}]


def test_of_two_versions_the_forecast_issued_last_is_shown(get: Send, version: ModelVersion) -> None:
    make_forecast(version, DAYS[0], issued_at=datetime(2025, 5, 29, 3, tzinfo=UTC))
    ModelVersion.objects.update(state=VersionState.RETIRED)
    newer = make_version(version.symbol, number=2)
    make_forecast(newer, DAYS[0], issued_at=datetime(2025, 5, 29, 4, tzinfo=UTC))
    make_forecast(newer, DAYS[1])
    chart = get(CHART, ticker="SAMPLE1")
    assert [(each["session"], each["version"]) for each in chart["forecasts"]] == [("2025-05-29", 2), ("2025-05-30", 2)]
    assert chart["versions"] == [{"number": 2, "kind": "symbol", "since": "2025-05-29"}]


def test_each_basis_has_a_forecast_and_of_those_during_the_session_the_first_is_shown(get: Send, version: ModelVersion) -> None:
    make_forecast(version, DAYS[2])
    make_forecast(version, DAYS[2], **LEAD)
    for hour, price in ((2, 100.0), (1, 102.0), (3, 101.0)):
        make_live_forecast(version, DAYS[2], hour=hour, fraction=hour / 8, price=price)
    shown = [(each["basis"], each["price"]) for each in get(CHART, ticker="SAMPLE1")["forecasts"]]
    assert shown == [("close", 101.0), ("lead", 101.0), ("live", 102.0)]


def test_a_version_is_named_from_each_session_on_at_which_it_took_over(get: Send, version: ModelVersion) -> None:
    ModelVersion.objects.update(state=VersionState.RETIRED)
    base = make_version(None)
    make_forecast(base, DAYS[0], symbol=version.symbol)
    make_forecast(version, DAYS[1])
    make_forecast(version, DAYS[2])
    assert get(CHART, ticker="SAMPLE1")["versions"] == [
        {"number": 1, "kind": "base", "since": "2025-05-29"},
        {"number": 1, "kind": "symbol", "since": "2025-05-30"},
    ]


def test_forecasts_of_later_sessions_are_not_among_those_of_the_next(get: Send, version: ModelVersion) -> None:
    make_forecast(version, DAYS[0], horizon=5, target_date=DAYS[3])
    assert get(CHART, ticker="SAMPLE1")["forecasts"] == []


@pytest.mark.usefixtures("today")
def test_the_next_forecast_and_its_outlook_are_what_predict_answers(get: Send, predict: Predict) -> None:
    add_steady_bars(symbol := make_symbol(), end=DAYS[3])
    serve(symbol)
    predicted, chart = predict(), get(CHART, ticker="SAMPLE1")
    (upcoming,) = chart["next"]
    assert upcoming["session"] == predicted["target_date"]
    interval = predicted["interval"]
    assert (upcoming["price"], upcoming["low_80"], upcoming["high_80"]) == (
        predicted["predicted_price"],
        interval["low"],
        interval["high"],
    )
    assert [(each["sessions"], each["session"], each["low_80"]) for each in chart["outlook"]] == [
        (each["sessions"], each["target_date"], each["interval"]["low"]) for each in predicted["outlook"] or ()
    ]


@pytest.mark.usefixtures("today")
def test_the_forecast_that_knows_leads_comes_after_the_one_that_does_not(get: Send, version: ModelVersion) -> None:
    make_forecast(version, DAYS[3])
    morning, opens = datetime(2025, 6, 3, 9, tzinfo=UTC), datetime(2025, 6, 3, 13, 30, tzinfo=UTC)
    make_forecast(version, DAYS[3], **LEAD | {"known_until": morning, "issued_at": morning, "target_opens": opens})
    assert [each["basis"] for each in get(CHART, ticker="SAMPLE1")["next"]] == ["close", "lead"]


def test_a_symbol_out_of_service_keeps_its_history_and_has_no_forecast(get: Send, version: ModelVersion) -> None:
    make_forecast(version, DAYS[0])
    make_forecast(version, DAYS[3])
    Symbol.objects.update(removed_at=timezone.now())
    chart = get(CHART, ticker="SAMPLE1")
    assert (len(chart["closes"]), len(chart["forecasts"]), chart["next"], chart["outlook"]) == (4, 1, [], [])


def test_it_shows_as_many_sessions_as_asked(get: Send, version: ModelVersion) -> None:
    for day in DAYS[:3]:
        make_forecast(version, day)
    chart = get(CHART, {"sessions": 2}, ticker="SAMPLE1")
    assert [each["date"] for each in chart["closes"]] == ["2025-05-30", "2025-06-02"]
    assert [each["session"] for each in chart["forecasts"]] == ["2025-05-30", "2025-06-02"]


def test_a_symbol_without_bars_has_an_empty_chart(get: Send) -> None:
    make_symbol()
    chart = get(CHART, ticker="SAMPLE1")
    assert not any(chart[name] for name in ("closes", "forecasts", "next", "outlook", "live", "versions", "restatements"))


def test_it_starts_nothing(get: Send, settings: Settings) -> None:
    settings.PRICE_SOURCE = "yahoo"  # which the tests cannot reach
    add_bars(make_symbol(), count=3, end=DAYS[3])
    get(CHART, ticker="SAMPLE1")
    assert not Training.objects.exists()
    assert not Forecast.objects.exists()


def test_small_prices_keep_their_digits(get: Send) -> None:
    with_closes(make_symbol(), [0.00001234, 0.1, 1.0, 20.0])
    assert get(CHART, ticker="SAMPLE1")["closes"][0]["close"] == 0.00001234


@pytest.mark.parametrize("ticker", ["sample1", "SAMPLE1"])
def test_case_and_a_trailing_slash_do_not_matter(client: APIClient, version: ModelVersion, ticker: str) -> None:
    assert client.get(f"/models/symbols/{ticker}/chart/").json()["symbol"] == "SAMPLE1"


@pytest.mark.parametrize("followed", [True, False])
def test_only_followed_symbols_have_one(get: Send, *, followed: bool) -> None:
    make_symbol(followed=followed)
    get(CHART, ticker="SAMPLE1", status=200 if followed else 404)


def test_a_login_of_staff_will_do_where_keys_are_required(
    client: APIClient, admin_user: User, version: ModelVersion, settings: Settings
) -> None:
    settings.API_KEY_REQUIRED = True
    assert client.get(CHART.format(ticker="SAMPLE1")).status_code == 401
    client.force_login(admin_user)
    answer = client.get(CHART.format(ticker="SAMPLE1"))
    assert (answer.status_code, answer.headers["Cache-Control"].split(",")[0]) == (200, "private")


def test_an_unknown_symbol_is_not_found(get: Send) -> None:
    assert get(CHART, ticker="NOPE", status=404)["details"] == {}


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"sessions": "0"}, {"sessions": ["Give a whole number from 1 to 1000."]}),
        ({"sessions": "1001"}, {"sessions": ["Give a whole number from 1 to 1000."]}),
        ({"bars": "3"}, {"bars": ["Unknown parameter. This route knows sessions."]}),
    ],
)
def test_a_bad_parameter_is_refused_by_name(get: Send, query: dict[str, str], problem: dict[str, list[str]]) -> None:
    make_symbol()
    assert get(CHART, query, ticker="SAMPLE1", status=400)["details"] == problem


def test_it_can_be_kept_for_a_minute_and_then_be_asked_for_if_it_has_changed(client: APIClient, version: ModelVersion) -> None:
    address = CHART.format(ticker="SAMPLE1")
    first = client.get(address)
    assert first["Cache-Control"] == "max-age=60"
    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 304
    make_forecast(version, DAYS[0])
    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 200


@pytest.mark.usefixtures("today")
def test_the_number_of_queries_does_not_depend_on_what_is_shown(client: APIClient, count_queries: Count) -> None:
    version = make_version(symbol := make_symbol())
    with_closes(symbol, [100.0] * 4)
    make_forecast(version, DAYS[3])
    client.get(CHART.format(ticker="SAMPLE1"))  # the standing forecast is in memory from now on
    few = count_queries(lambda: client.get(CHART.format(ticker="SAMPLE1")))
    add_bars(make_symbol("SAMPLE2"), count=100)
    for day in DAYS[:3]:
        make_forecast(version, day, actual_close=101.0)
        make_forecast(make_version(symbol, number=100 + day.day, state=VersionState.RETIRED), day, actual_close=101.0)
        make_restatement(symbol, date=day)
    assert count_queries(lambda: client.get(CHART.format(ticker="SAMPLE1"))) == few == 6


@pytest.mark.usefixtures("today")
def test_until_a_new_version_has_forecast_the_forecast_of_the_former_one_is_the_next(get: Send, version: ModelVersion) -> None:
    make_forecast(version, DAYS[3])
    make_forecast(version, DAYS[3], horizon=5, target_date=date(2025, 6, 9))
    ModelVersion.objects.update(state=VersionState.RETIRED)
    make_version(version.symbol, number=2)
    chart = get(CHART, ticker="SAMPLE1")
    assert ([each["version"] for each in chart["next"]], [each["sessions"] for each in chart["outlook"]]) == ([1], [5])


def test_the_price_now_is_shown_while_the_session_is_under_way(
    get: Send, version: ModelVersion, time_machine: TimeMachineFixture
) -> None:
    symbol = make_forecast(version, DAYS[3]).symbol
    traded = datetime(2025, 6, 3, 15, tzinfo=UTC)
    prices = {"price": 101.5, "open": 100.0, "high": 102.0, "low": 99.0, "volume": 1e6}
    Quote.objects.create(symbol=symbol, asked_at=traded, session=date(2025, 6, 3), time=traded, **prices)
    time_machine.move_to(traded)
    shown = {"session": "2025-06-03", "price": 101.5, "time": "2025-06-03T15:00:00Z", "delayed": False}
    assert get(CHART, ticker="SAMPLE1")["live"] == shown
    time_machine.move_to(datetime(2025, 6, 4, 3, tzinfo=UTC))
    assert get(CHART, ticker="SAMPLE1")["live"] is None
