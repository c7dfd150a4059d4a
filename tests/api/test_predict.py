"""POST /models/predict with real models: their files, ONNX Runtime, the ledger."""

from datetime import UTC, date, datetime
from math import exp
from pathlib import Path

import pytest

from forecasting import registry
from forecasting.models import Forecast, Training
from forecasting.models.trainings import TrainingReason, TrainingState
from forecasting.pipeline.model.calibration import Calibration
from tests.api.conftest import Count, Predict, Send
from tests.api.serving import VOLATILITY, add_steady_bars, file_of, serve
from tests.factories import AT_LAST_CLOSE, make_claimed, make_forecast, make_symbol, make_training, make_version
from tests.small_model import BARS_NEEDED, QUANTILES, trained_model

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("today")]

LAST_SESSION, NEXT_SESSION = date(2025, 6, 2), date(2025, 6, 3)
FRIDAY = date(2025, 5, 30)
STARTED = "Model for this stock code has not been trained yet. Starting training, try again later."
IN_PROGRESS = "Training already in progress. The model will be available soon."


def price(standardised: float) -> float:
    """The price that the small model forecasts for one of its quantiles, on steady bars."""
    return round(100 * exp(standardised * VOLATILITY), 2)


def test_a_model_forecasts_the_next_session(predict: Predict) -> None:
    symbol = make_symbol("BBAS3.SA")
    add_steady_bars(symbol, end=LAST_SESSION)
    version = serve(symbol, number=3, trained_at=datetime(2025, 6, 1, 3, 4, 5, 678, tzinfo=UTC))
    prices = [price(each) for each in QUANTILES]
    assert predict("BBAS3.SA") == {
        "predicted_price": prices[3],
        "point_forecast": "model",
        "basis": "close",
        "known_until": None,
        "leads": None,
        "status": "success",
        "variation": {"status": "positive", "percentage": 0.1},
        "last_close": 100.0,
        "as_of": "2025-06-02",
        "target_date": "2025-06-03",
        "stale": False,
        "interval": {"level": 0.8, "low": prices[1], "high": prices[5], "spread_factor": 1.0},
        "usual_width": None,
        "risk": None,
        "summary": f"80 %: {prices[1]:.2f} to {prices[5]:.2f} BRL at the close of Tuesday 3 June.",
        "probability_up": 0.538,  # the line of normal scores from (-0.6, 25 %) to (0.1, 50 %) is at 46.2 % where it crosses 0
        "quantiles": dict(zip(["0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95"], prices, strict=True)),
        "outlook": None,
        "model": {"version": 3, "version_id": version.pk, "kind": "symbol", "trained_at": "2025-06-01T03:04:05Z"},
        "skill": {"mase": 0.9841, "beats_naive": False},
        "currency": "BRL",
        "session": {"state": "pre", "opens": "2025-06-03T13:00:00Z", "closes": "2025-06-03T21:00:00Z"},
        "price_now": None,
        "price_time": None,
        "delayed": None,
        "price_problem": None,
        "recorded": True,
        "close_forecast": None,
        "simulated": True,
    }


def test_a_forecast_of_the_last_close_says_so_and_claims_no_skill(predict: Predict) -> None:
    add_steady_bars(symbol := make_symbol(), end=LAST_SESSION)
    training = make_claimed(symbol)
    trained = trained_model(metrics=AT_LAST_CLOSE, calibration=Calibration(median_weight=0.0, spread=1.0))
    registry.publish(trained, training_id=training.pk, fence=training.fence)
    answer = predict()
    assert (answer["point_forecast"], answer["predicted_price"]) == ("last_close", answer["last_close"])
    assert answer["variation"] == {"status": "neutral", "percentage": 0.0}
    assert answer["skill"] == {"mase": 1.0, "beats_naive": False}


@pytest.mark.parametrize(("ticker", "target"), [("SAMPLE1", "2025-06-02"), ("BTC-USD", "2025-05-31")])
def test_after_a_friday_comes_the_next_session_of_the_symbols_exchange(
    predict: Predict, folder: Path, ticker: str, target: str
) -> None:
    add_steady_bars(symbol := make_symbol(ticker), end=FRIDAY)
    serve(symbol)
    assert predict(ticker)["target_date"] == target


@pytest.mark.parametrize(
    ("last_close", "forecast", "status", "percentage"),
    [
        (16.2, 16.04, "negative", -0.99),
        (16.2, 16.36, "positive", 0.99),
        (16.2, 16.2, "neutral", 0.0),
        (16.2, 16.1999999, "neutral", 0.0),
    ],
)
def test_the_variation_is_of_the_last_close(
    predict: Predict, last_close: float, forecast: float, status: str, percentage: float
) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=LAST_SESSION, last_close=last_close)
    make_forecast(make_version(symbol), LAST_SESSION, last_close=last_close, price=forecast)
    variation = predict()["variation"]
    assert variation == {"status": status, "percentage": percentage}
    assert str(variation["percentage"]) != "-0.0"


@pytest.mark.parametrize(
    ("unrounded", "rounded"),
    [
        (12_345_678.9, 12_345_678.9),
        (60_123.456789, 60_123.46),
        (16.123456, 16.12),
        (1.23456789, 1.2346),
        (0.0123456789, 0.01234568),
        (2.89234567e-07, 2.8923e-07),
    ],
)
def test_the_number_of_decimals_depends_on_the_price(predict: Predict, unrounded: float, rounded: float) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=LAST_SESSION)
    prices = dict.fromkeys(("last_close", "price", "interval_low", "interval_high"), unrounded)
    make_forecast(make_version(symbol), LAST_SESSION, quantiles={"0.5": unrounded}, **prices)
    answer = predict()
    assert (answer["predicted_price"], answer["last_close"], answer["quantiles"]) == (rounded, rounded, {"0.5": rounded})
    assert answer["interval"] == {"level": 0.8, "low": rounded, "high": rounded, "spread_factor": 1.0}


def test_two_requests_get_the_same_forecast(predict: Predict) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=LAST_SESSION)
    serve(symbol)
    assert predict() == predict()
    assert Forecast.objects.count() == 1


def test_the_forecast_is_in_the_ledger_unrounded(predict: Predict) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=LAST_SESSION)
    version = serve(symbol)
    predict()
    forecast = Forecast.objects.get()
    assert (forecast.symbol, forecast.version, forecast.as_of, forecast.target_date) == (
        symbol,
        version,
        LAST_SESSION,
        NEXT_SESSION,
    )
    assert forecast.price == pytest.approx(100 * exp(0.001), rel=1e-7)


def test_another_version_makes_another_forecast(predict: Predict) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=LAST_SESSION)
    serve(symbol)
    predict()
    serve(symbol)
    assert predict()["model"]["version"] == 2
    assert Forecast.objects.count() == 2


@pytest.mark.parametrize("damage", ["changed", "shortened", "removed"])
def test_a_model_whose_files_are_damaged_is_not_used(predict: Predict, damage: str) -> None:
    symbol = make_symbol()
    add_steady_bars(symbol, end=LAST_SESSION)
    model = file_of(serve(symbol), "model.onnx")
    content = model.read_bytes()
    match damage:
        case "changed":
            model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "shortened":
            model.write_bytes(content[:-1])
        case _:
            model.unlink()
    answer = predict()
    assert (answer["status"], answer["model"]["kind"]) == ("success", "base")
    assert Training.objects.active().get().reason == TrainingReason.FILES_DAMAGED


def test_a_damaged_model_does_not_affect_the_others(post: Send) -> None:
    for ticker in ("SAMPLE1", "SAMPLE2"):
        add_steady_bars(symbol := make_symbol(ticker), end=LAST_SESSION)
        version = serve(symbol)
        if ticker == "SAMPLE1":
            file_of(version, "meta.json").write_text("{}")
    answers = post("predict", {"symbols": ["SAMPLE1", "SAMPLE2"]})["predictions"]
    assert [each["model"]["kind"] for each in answers.values()] == ["base", "symbol"]


def test_a_symbol_with_too_few_bars_does_not_affect_the_others(post: Send, folder: Path) -> None:
    for ticker, count in (("SAMPLE1", BARS_NEEDED - 1), ("SAMPLE2", BARS_NEEDED)):
        add_steady_bars(symbol := make_symbol(ticker), end=LAST_SESSION, count=count)
        serve(symbol)
    answers = post("predict", {"symbols": ["SAMPLE1", "SAMPLE2"]})["predictions"]
    assert [each["status"] for each in answers.values()] == ["failed", "success"]


def test_a_symbol_without_a_model_is_trained(predict: Predict, folder: Path) -> None:
    make_symbol()
    folder.rmdir()  # the base has no prices to forecast from
    answer = predict()
    assert (answer["status"], answer["message"]) == ("training", STARTED)
    assert answer["training"]["id"] == Training.objects.get().pk


@pytest.mark.usefixtures("folder")  # an empty folder: the base has no prices to forecast from
def test_a_symbol_whose_training_is_under_way_is_not_trained_twice(predict: Predict) -> None:
    training = make_training(make_symbol(), state=TrainingState.RUNNING)
    answer = predict()
    assert (answer["status"], answer["message"], answer["training"]["id"]) == ("training", IN_PROGRESS, training.pk)
    assert Training.objects.count() == 1


def test_a_symbol_whose_training_failed_says_why(predict: Predict, folder: Path) -> None:
    folder.rmdir()
    make_training(make_symbol(), state=TrainingState.FAILED, error="SAMPLE1 has 10 bars; at least 490 are needed.")
    assert predict() == {
        "status": "failed",
        "error": "Training not started: SAMPLE1 has 10 bars; at least 490 are needed.",
    }


def test_the_number_of_queries_does_not_depend_on_the_number_of_symbols(post: Send, count_queries: Count) -> None:
    tickers = [f"SAMPLE{number}" for number in range(1, 21)]
    for ticker in tickers:
        add_steady_bars(symbol := make_symbol(ticker), end=LAST_SESSION)
        serve(symbol)
    assert count_queries(lambda: post("predict", {"symbols": tickers[:1]})) == count_queries(
        lambda: post("predict", {"symbols": tickers[1:]})
    )
    issued = count_queries(lambda: post("predict", {"symbols": tickers[:1]}))
    assert count_queries(lambda: post("predict", {"symbols": tickers})) == issued


def test_later_sessions_are_its_outlook(predict: Predict) -> None:
    symbol = make_symbol("BBAS3.SA")
    add_steady_bars(symbol, end=LAST_SESSION)
    version = make_version(symbol)
    make_forecast(version, LAST_SESSION)
    prices = {
        "price": 100.0,
        "interval_low": 95.12345,
        "interval_high": 105.0,
        "quantiles": {"0.1": 95.12345, "0.5": 100.0, "0.9": 105.0},
    }
    for horizon, target in ((10, date(2025, 6, 16)), (5, date(2025, 6, 9))):
        make_forecast(version, LAST_SESSION, horizon=horizon, target_date=target, **prices)

    first, second = predict("BBAS3.SA")["outlook"]

    assert first == {
        "sessions": 5,
        "target_date": "2025-06-09",
        "median": 100.0,
        "interval": {"level": 0.8, "low": 95.12, "high": 105.0},
        "quantiles": {"0.1": 95.12, "0.5": 100.0, "0.9": 105.0},
    }
    assert (second["sessions"], second["target_date"]) == (10, "2025-06-16")
