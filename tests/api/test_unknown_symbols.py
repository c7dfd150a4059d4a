"""Names that the price source does not know: the routes say so at once and suggest others. Names without an answer yet wait."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django_q.models import OrmQ
from pytest_django import Settings
from rest_framework.test import APIClient

from forecasting import market
from forecasting.background import daily, tasks
from forecasting.models import RequestedName, Symbol, Training
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingState
from forecasting.prices.sources import UnknownSymbolError
from tests.api.conftest import Count, Predict, Send
from tests.api.serving import add_steady_bars, serve
from tests.factories import make_claimed, make_symbol, make_training
from tests.fake_yahoo import FakeYahoo, generated_bars

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("today")]

NOW = datetime(2025, 6, 3, 12, tzinfo=UTC)
FRIDAY, LAST_SESSION = date(2025, 5, 30), date(2025, 6, 2)
STARTED = "Model for this stock code has not been trained yet. Starting training, try again later."
REASON = "Yahoo Finance has no such symbol; check its spelling and exchange suffix"
NO_FILE = "Training not started: no file for PETR4 in the price folder; add PETR4.csv or check the symbol (perhaps PETR4.SA)."


@pytest.fixture(autouse=True)
def _patient(settings: Settings) -> None:
    settings.PREDICT_REFRESH_SECONDS = 5


def message(post: Send, ticker: str) -> str:
    """The message of check for a symbol without a model."""
    (answer,) = post("check", {"symbols": [ticker]})
    assert not answer["model_exists"]
    return str(answer["message"])


def unknown(ticker: str) -> Symbol:
    """A symbol that was unknown to Yahoo an hour ago."""
    return make_symbol(
        ticker,
        upstream_state=UpstreamState.UNKNOWN,
        upstream_reason=REASON,
        upstream_checked_at=NOW - timedelta(hours=1),
        unknown_until=NOW + timedelta(hours=23),
    )


@pytest.mark.usefixtures("yahoo")
@pytest.mark.parametrize("first", ["check", "predict"])
def test_the_first_answer_already_says_so_and_leaves_no_symbol(post: Send, predict: Predict, first: str) -> None:
    refusal = f"Training not started: {REASON} (perhaps PETR4.SA)."
    for route in (first, "check", "predict"):
        answer = message(post, "PETR4") if route == "check" else predict("PETR4")
        assert answer == (refusal if route == "check" else {"status": "failed", "error": refusal})
    assert not Symbol.objects.exists()
    assert not Training.objects.exists()


@pytest.mark.usefixtures("yahoo")
def test_a_waiting_training_does_not_hide_the_reason(post: Send, predict: Predict) -> None:
    make_training(unknown("NOPE"))
    (answer,) = post("check", {"symbols": ["NOPE"]})
    assert (answer["message"], answer["training"]) == (f"Training not started: {REASON}.", None)
    assert predict("NOPE")["status"] == "failed"


@pytest.mark.usefixtures("yahoo")
def test_a_waiting_training_fails_once_the_symbol_is_unknown() -> None:
    make_training(symbol := make_symbol("NOPE"))
    with pytest.raises(UnknownSymbolError):
        market.sync(symbol, now=NOW)
    training = Training.objects.get()
    assert (training.state, training.error) == (TrainingState.FAILED, REASON)
    assert training.finished_at


@pytest.mark.usefixtures("yahoo")
def test_neither_ends_a_training_under_way_nor_one_that_has_bars() -> None:
    running = make_claimed(make_symbol("NOPE"))
    add_steady_bars(listed := make_symbol("LOST"), end=FRIDAY)
    waiting = make_training(listed)
    for training in (running, waiting):
        assert training.symbol
        with pytest.raises(UnknownSymbolError):
            market.sync(training.symbol, now=NOW)
    assert set(Training.objects.values_list("state", flat=True)) == {TrainingState.RUNNING, TrainingState.QUEUED}


@pytest.mark.usefixtures("yahoo")
@pytest.mark.parametrize(
    ("asked", "stored", "meant"),
    [
        ("BRK.B", [], " (perhaps BRK-B)"),
        ("7203", [], " (perhaps 7203.T or 7203.HK or 7203.TW)"),
        ("7203", ["7203.TW"], " (perhaps 7203.TW)"),
        ("SAN", ["SAN.PA"], " (perhaps SAN.PA)"),
        ("SAN", ["SAN.L", "SAN.MC", "SAN.MX", "SAN.PA"], " (perhaps SAN.L or SAN.MC or SAN.MX)"),
        ("SAN", ["SANM"], ""),
    ],
)
def test_symbols_with_stored_bars_are_suggested_first(post: Send, asked: str, stored: list[str], meant: str) -> None:
    for ticker in stored:
        add_steady_bars(make_symbol(ticker), end=FRIDAY, count=2)
    unknown(asked)
    assert message(post, asked) == f"Training not started: {REASON}{meant}."


@pytest.mark.usefixtures("yahoo")
def test_symbols_without_bars_are_not_suggested(post: Send) -> None:
    make_symbol("SAN.PA")
    unknown("SAN")
    assert message(post, "SAN") == f"Training not started: {REASON}."


@pytest.mark.usefixtures("yahoo")
def test_each_unknown_symbol_gets_its_own_suggestions(post: Send) -> None:
    for ticker in ("SAN.PA", "7203.TW"):
        add_steady_bars(make_symbol(ticker), end=FRIDAY, count=2)
    answers = post("check", {"symbols": [unknown(ticker).ticker for ticker in ("SAN", "7203")]})
    assert [answer["message"].removeprefix(f"Training not started: {REASON} ") for answer in answers] == [
        "(perhaps SAN.PA).",
        "(perhaps 7203.TW).",
    ]


@pytest.mark.usefixtures("yahoo")
def test_an_unknown_symbol_that_has_bars_is_served_and_trained_from_them(post: Send, predict: Predict) -> None:
    add_steady_bars(unknown("LOST"), end=FRIDAY)
    assert message(post, "LOST") == STARTED
    answer = predict("LOST")
    assert (answer["status"], answer["stale"], answer["model"]["kind"]) == ("success", True, "base")


def test_a_folder_without_its_file_says_which_file_to_add(post: Send, predict: Predict, folder: Path) -> None:
    assert predict("PETR4") == {"status": "failed", "error": NO_FILE}
    assert message(post, "PETR4") == NO_FILE


@pytest.mark.parametrize("route", ["check", "predict"])
def test_a_new_file_is_used_at_once(post: Send, predict: Predict, folder: Path, route: str) -> None:
    predict("PETR4.SA")
    generated_bars("PETR4.SA", first=date(2023, 1, 2), last=LAST_SESSION).to_csv(folder / "PETR4.SA.csv")
    answer = predict("PETR4.SA")["status"] if route == "predict" else message(post, "PETR4.SA")
    assert answer == ("success" if route == "predict" else STARTED)


def test_a_missing_file_is_not_looked_up_at_every_request_if_bars_are_stored(predict: Predict, folder: Path) -> None:
    symbol = make_symbol("AAA", synced_at=NOW - timedelta(days=1))
    add_steady_bars(symbol, end=FRIDAY)
    predict("AAA")
    symbol.refresh_from_db()
    assert (symbol.upstream_state, market.may_ask(symbol, now=NOW + timedelta(minutes=9))) == (UpstreamState.UNKNOWN, False)
    assert market.may_ask(symbol, now=NOW + timedelta(minutes=11))


def test_no_real_symbol_is_suggested_if_prices_are_simulated(predict: Predict) -> None:
    assert predict("PETR4")["error"].endswith("and SPY, which these follow; use one of them.")


def test_a_symbol_with_stored_bars_is_suggested_even_if_prices_are_simulated(predict: Predict) -> None:
    add_steady_bars(make_symbol("BRK-B"), end=FRIDAY, count=2)
    assert predict("BRK.B")["error"].endswith(" (perhaps BRK-B).")


@pytest.mark.usefixtures("yahoo")
def test_the_number_of_queries_does_not_depend_on_the_number_of_unknown_symbols(post: Send, count_queries: Count) -> None:
    tickers = [unknown(f"NOPE{number}").ticker for number in range(20)]
    one = count_queries(lambda: post("check", {"symbols": tickers[:1]}))
    assert count_queries(lambda: post("check", {"symbols": tickers})) == one


# Names without an answer in time


@pytest.fixture
def silence(yahoo: FakeYahoo, settings: Settings) -> FakeYahoo:
    """A Yahoo that is not waited for."""
    settings.PREDICT_REFRESH_SECONDS = 0
    return yahoo


@pytest.mark.usefixtures("silence")
def test_a_name_without_an_answer_in_time_is_told_to_try_again(post: Send, predict: Predict) -> None:
    for _ in range(2):
        assert post("check", {"symbols": ["AAA"]}) == [
            {"symbol": "AAA", "model_exists": False, "message": STARTED, "version": None, "version_id": None, "training": None}
        ]
        assert predict("AAA") == {"status": "training", "message": STARTED, "training": None}


@pytest.mark.usefixtures("silence")
def test_it_is_in_no_list_and_no_daily_job(post: Send, get: Send) -> None:
    post("predict", {"symbols": ["AAA"]})
    for name in ("symbols", "versions", "trainings", "forecasts", "findings"):
        assert get(f"/models/{name}")["count"] == 0
    assert daily.describe(LAST_SESSION)[1] == "Prices of 0 symbols would be synced."


def test_a_later_request_finds_what_the_background_has_looked_up(post: Send, predict: Predict, silence: FakeYahoo) -> None:
    post("check", {"symbols": ["PETR4.SA", "NOPE"]})
    silence.bars["PETR4.SA"] = generated_bars("PETR4.SA", first=date(2023, 1, 2), last=LAST_SESSION)
    tasks.look_up_names()
    assert predict("PETR4.SA")["model"]["kind"] == "base"
    assert Training.objects.get().subject == "PETR4.SA"
    assert message(post, "NOPE") == f"Training not started: {REASON}."


def test_the_first_prediction_of_a_known_name_forecasts_it_and_starts_its_training(predict: Predict, yahoo: FakeYahoo) -> None:
    yahoo.bars["PETR4.SA"] = generated_bars("PETR4.SA", first=date(2023, 1, 2), last=LAST_SESSION)
    assert predict("PETR4.SA")["as_of"] == "2025-06-02"
    assert Training.objects.get().subject == "PETR4.SA"


@pytest.mark.usefixtures("silence")
def test_known_symbols_are_answered_beside_new_names(post: Send) -> None:
    add_steady_bars(make_symbol("KEPT"), end=LAST_SESSION)
    answers = post("predict", {"symbols": ["NEW", "KEPT"]})["predictions"]
    assert [(ticker, answer["status"]) for ticker, answer in answers.items()] == [("NEW", "training"), ("KEPT", "success")]


def test_a_flood_of_made_up_names_leaves_nothing_but_a_bounded_table(
    post: Send, silence: FakeYahoo, settings: Settings, count_queries: Count
) -> None:
    settings.REQUESTED_NAMES_LIMIT, settings.ANONYMOUS_NEW_SYMBOLS_PER_DAY = 120, 0
    add_steady_bars(symbol := make_symbol("KEPT"), end=LAST_SESSION)
    serve(symbol)
    post("predict", {"symbols": ["KEPT"]})
    plan = daily.describe(LAST_SESSION)
    for number in range(6):
        post("predict", {"symbols": [f"MADEUP{50 * number + each}" for each in range(50)]})
    assert RequestedName.objects.count() == 120
    assert (Symbol.objects.get(), OrmQ.objects.count()) == (symbol, 1)
    assert not Training.objects.active().exists()
    assert daily.describe(LAST_SESSION) == plan
    assert count_queries(lambda: post("predict", {"symbols": ["KEPT"]})) == 1  # the budget and the forecast


# Retraining


@pytest.mark.usefixtures("yahoo")
def test_retraining_an_unknown_name_is_refused_with_the_reason(post: Send) -> None:
    answer = post("retrain", {"symbol": "PETR4"}, status=404)
    assert answer["details"] == {"symbol": [f"Training not started: {REASON} (perhaps PETR4.SA)."]}
    assert not Symbol.objects.exists()
    assert not Training.objects.exists()


@pytest.mark.usefixtures("silence")
def test_retraining_a_name_without_an_answer_in_time_is_refused_for_now(post: Send, client: APIClient) -> None:
    answer = post("retrain", {"symbol": "AAA"}, status=503)
    assert answer["error"] == "Training not started: the price source has not answered in time; try again later."
    assert client.post("/models/retrain", {"symbol": "AAA"}, format="json").headers["Retry-After"] == "10"
    assert not Training.objects.exists()


def test_retraining_a_new_name_that_the_source_knows_trains_it(post: Send, yahoo: FakeYahoo) -> None:
    yahoo.bars["PETR4.SA"] = generated_bars("PETR4.SA", first=date(2023, 1, 2), last=LAST_SESSION)
    post("retrain", {"symbol": "PETR4.SA"}, status=202)
    assert Training.objects.get().subject == "PETR4.SA"


# What starts nothing


@pytest.mark.parametrize("route", ["symbols", "versions", "trainings", "forecasts", "findings"])
def test_reading_starts_nothing(client: APIClient, yahoo: FakeYahoo, route: str) -> None:
    for path in (f"/models/{route}", f"/models/{route}?symbol=NEW", f"/models/{route}/NEW", f"/models/{route}/1", "/health"):
        client.get(path)
    assert yahoo.requests == []
    for table in (Symbol, RequestedName, Training, OrmQ):
        assert not table._default_manager.exists()


def test_metrics_start_nothing(post: Send, yahoo: FakeYahoo) -> None:
    post("metrics", {"symbols": ["NEW"]})
    assert yahoo.requests == []
    assert not RequestedName.objects.exists()
