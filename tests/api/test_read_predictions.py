"""GET /models/predict: the answers of the POST, for readers and caches. It starts nothing."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django_q.models import OrmQ
from rest_framework.test import APIClient
from time_machine import TimeMachineFixture

from forecasting.models import Forecast, ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingState
from forecasting.prices.leads import lead_window
from tests.api.conftest import Count, Send, checked
from tests.api.serving import add_steady_bars, file_of, serve
from tests.api.test_predict_prices import write_prices
from tests.factories import make_symbol, make_training

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("today")]

FRIDAY, LAST_SESSION = date(2025, 5, 30), date(2025, 6, 2)
REFUSED = {"status": "failed", "error": "Training not started: a GET starts none; ask by POST."}

Read = Callable[..., Any]


@pytest.fixture
def read(client: APIClient) -> Read:
    """`read("A,B")`: the response to a GET, after checks of its status and schema."""

    def send(symbols: str) -> Any:
        response: Any = client.get("/models/predict", {"symbols": symbols})
        checked(response, "/models/predict", status=200, method="get")
        return response

    return send


def served(ticker: str = "SAMPLE1", *, end: date = LAST_SESSION) -> Symbol:
    """A symbol with bars and a model of its own."""
    add_steady_bars(symbol := make_symbol(ticker), end=end)
    serve(symbol)
    return symbol


def max_age(response: Any) -> int:
    """Seconds for which it may be cached."""
    name, _, seconds = response.headers["Cache-Control"].partition("=")
    assert name == "max-age"
    return int(seconds)


def assert_nothing_was_started() -> None:
    assert not Training.objects.active().exists()
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize("read_first", [True, False])
def test_it_answers_like_the_post(read: Read, post: Send, read_first: bool) -> None:
    for ticker in ("SAMPLE1", "SAMPLE2"):
        served(ticker)
    calls = [
        lambda: read("sample2, SAMPLE1,SAMPLE2").json(),
        lambda: post("predict", {"symbols": ["sample2", " SAMPLE1", "SAMPLE2"]}),
    ]
    first, second = (call() for call in (calls if read_first else reversed(calls)))
    assert first == second
    assert list(first["predictions"]) == ["SAMPLE2", "SAMPLE1"]
    assert Forecast.objects.count() == 2


def test_symbols_may_be_repeated_parameters(client: APIClient) -> None:
    answer = client.get("/models/predict?symbols=SAMPLE1&symbols=SAMPLE2,SAMPLE3").json()
    assert list(answer["predictions"]) == ["SAMPLE1", "SAMPLE2", "SAMPLE3"]


def test_a_name_never_asked_for_stays_unknown(read: Read) -> None:
    assert read("SAMPLE1").json()["predictions"] == {"SAMPLE1": REFUSED}
    assert not Symbol.objects.exists()
    assert_nothing_was_started()


def test_a_symbol_that_only_the_base_serves_is_not_trained(read: Read) -> None:
    add_steady_bars(make_symbol(), end=LAST_SESSION, count=400)
    response = read("SAMPLE1")
    answer = response.json()["predictions"]["SAMPLE1"]
    assert (answer["status"], answer["model"]["kind"], max_age(response)) == ("success", "base", 60)
    assert_nothing_was_started()


@pytest.mark.usefixtures("folder")
def test_a_training_that_somebody_else_started_is_shown(read: Read) -> None:
    training = make_training(make_symbol(), state=TrainingState.RUNNING)
    response = read("SAMPLE1")
    answer = response.json()["predictions"]["SAMPLE1"]
    assert (answer["status"], answer["training"]["id"], max_age(response)) == ("training", training.pk, 60)


def test_damaged_files_are_said_and_left_to_the_post(read: Read) -> None:
    version = ModelVersion.objects.get(symbol=served())
    file_of(version, "model.onnx").unlink()
    answer = read("SAMPLE1").json()["predictions"]["SAMPLE1"]
    assert answer == {"status": "failed", "error": "The model's files cannot be used: model.onnx is missing."}
    version.refresh_from_db()
    assert version.state == "active"
    assert_nothing_was_started()


def test_instead_of_files_that_cannot_be_read_now_the_base_answers(read: Read) -> None:
    path = file_of(version := ModelVersion.objects.get(symbol=served()), "model.onnx")
    path.unlink()
    path.symlink_to(path.name)  # leads to itself: for root, too, it cannot be opened
    answer = read("SAMPLE1").json()["predictions"]["SAMPLE1"]
    assert (answer["status"], answer["model"]["kind"]) == ("success", "base")
    version.refresh_from_db()
    assert version.state == "active"
    assert_nothing_was_started()


def test_newer_bars_of_a_known_symbol_are_fetched(read: Read, folder: Path) -> None:
    write_prices(folder, served(end=FRIDAY), days=[LAST_SESSION])
    assert read("SAMPLE1").json()["predictions"]["SAMPLE1"]["as_of"] == "2025-06-02"
    assert_nothing_was_started()


def test_prices_that_come_too_late_are_fetched_in_the_background_as_for_the_post(read: Read, folder: Path, settings: Any) -> None:
    settings.PREDICT_REFRESH_SECONDS = 0
    symbol = served(end=FRIDAY)
    os.mkfifo(folder / "SAMPLE1.csv")
    writer = os.open(folder / "SAMPLE1.csv", os.O_RDWR)
    response = read("SAMPLE1")
    os.close(writer)
    assert (response.json()["predictions"]["SAMPLE1"]["stale"], max_age(response)) == (True, 60)
    assert [each.task["args"] for each in OrmQ.objects.all()] == [([symbol.pk],)]


def test_an_answer_stands_until_its_target_session_opens_and_after_that_until_it_has_a_bar(
    read: Read, time_machine: TimeMachineFixture
) -> None:
    served()
    time_machine.move_to(datetime(2025, 6, 3, 12, tzinfo=UTC), tick=False)
    assert max_age(read("SAMPLE1")) == 90 * 60  # New York opens at 13:30 UTC
    time_machine.move_to(datetime(2025, 6, 3, 20, 20, tzinfo=UTC), tick=False)
    assert max_age(read("SAMPLE1")) == 600  # it has closed at 20:00 UTC, and its bars settle for 30 minutes
    time_machine.move_to(datetime(2025, 6, 3, 20, 29, 50, tzinfo=UTC))
    assert max_age(read("SAMPLE1")) == 60


def test_before_the_opening_an_answer_stands_until_other_markets_may_be_known(read: Read, time_machine: TimeMachineFixture) -> None:
    add_steady_bars(symbol := make_symbol("SAMPLE1", exchange="XTKS"), end=LAST_SESSION)
    serve(symbol)
    window = lead_window("XTKS", LAST_SESSION)
    assert window
    time_machine.move_to(window.known_until - timedelta(minutes=90), tick=False)
    assert max_age(read("SAMPLE1")) == 90 * 60
    time_machine.move_to(window.known_until + timedelta(minutes=1), tick=False)
    assert max_age(read("SAMPLE1")) == 60


def test_an_answer_stands_as_long_as_its_first_part(read: Read) -> None:
    served()
    served("BBAS3.SA")
    alone = max_age(read("SAMPLE1"))
    assert max_age(read("SAMPLE1,BBAS3.SA")) <= alone
    assert max_age(read("SAMPLE1,NOSUCH")) == 60


def test_it_is_revalidated_without_a_body(client: APIClient, read: Read) -> None:
    served()
    tag = read("SAMPLE1").headers["ETag"]
    again = client.get("/models/predict", {"symbols": "SAMPLE1"}, headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)


def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(read: Read, count_queries: Count) -> None:
    for number in range(1, 11):
        served(f"SAMPLE{number}")
    every = ",".join(f"SAMPLE{number}" for number in range(1, 11))
    read(every)
    assert count_queries(lambda: read(every)) == count_queries(lambda: read("SAMPLE1")) == 1  # with the budget


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ("", {"symbols": ["This field is required."]}),
        ("?symbols=", {"symbols": ["This parameter is empty; give it a value or leave it out."]}),
        ("?symbols=A,,B", {"symbols": {"1": ["This field may not be blank."]}}),
        ("?symbols=A,US0378331005", {"symbols": {"1": ["This is an ISIN; give the exchange's symbol, such as PETR4.SA."]}}),
        ("?symbols=" + "A," * 50 + "A", {"symbols": ["A request names 1 to 50 symbols, not 51."]}),
        ("?symbol=A", {"symbol": ["Unknown parameter. This route knows coverage, symbols."]}),
    ],
    ids=["nothing", "empty", "a gap", "an ISIN", "too many", "another name"],
)
def test_an_invalid_request_is_refused(client: APIClient, query: str, details: Any) -> None:
    response = client.get(f"/models/predict{query}")
    assert checked(response, "/models/predict", status=400, method="get")["details"] == details
    assert "Cache-Control" not in response.headers
