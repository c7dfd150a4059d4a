"""Symbols that the price source does not know: check and predict say so at once and suggest others."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from forecasting import market
from forecasting.models import Symbol, Training
from forecasting.models.symbols import UpstreamState
from forecasting.models.trainings import TrainingState
from forecasting.prices.sources import UnknownSymbolError
from tests.api.conftest import Count, Predict, Send
from tests.api.serving import add_steady_bars
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


def test_the_first_prediction_already_says_so(post: Send, predict: Predict, yahoo: FakeYahoo) -> None:
    refusal = f"Training not started: {REASON} (perhaps PETR4.SA)."
    assert predict("PETR4") == {"status": "failed", "error": refusal}
    assert message(post, "PETR4") == refusal
    assert not Training.objects.exists()


@pytest.mark.usefixtures("yahoo")
def test_a_waiting_training_does_not_hide_the_reason(post: Send, predict: Predict) -> None:
    make_training(unknown("NOPE"))
    (answer,) = post("check", {"symbols": ["NOPE"]})
    assert (answer["message"], answer["training"]) == (f"Training not started: {REASON}.", None)
    assert predict("NOPE")["status"] == "failed"


@pytest.mark.usefixtures("yahoo")
def test_a_waiting_training_fails_once_the_symbol_is_unknown(post: Send) -> None:
    post("check", {"symbols": ["NOPE"]})
    with pytest.raises(UnknownSymbolError):
        market.sync(Symbol.objects.get(), now=NOW)
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
    assert predict("PETR4")["error"].endswith("only the symbols SAMPLE1 to SAMPLE99; use one of them.")


def test_a_symbol_with_stored_bars_is_suggested_even_if_prices_are_simulated(predict: Predict) -> None:
    add_steady_bars(make_symbol("BRK-B"), end=FRIDAY, count=2)
    assert predict("BRK.B")["error"].endswith(" (perhaps BRK-B).")


@pytest.mark.usefixtures("yahoo")
def test_the_number_of_queries_does_not_depend_on_the_number_of_unknown_symbols(post: Send, count_queries: Count) -> None:
    tickers = [unknown(f"NOPE{number}").ticker for number in range(20)]
    one = count_queries(lambda: post("check", {"symbols": tickers[:1]}))
    assert count_queries(lambda: post("check", {"symbols": tickers})) == one
