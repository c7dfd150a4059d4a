"""Symbols that an operator took out of service: nothing serves them, and their history stays readable."""

from datetime import date

import pytest
from django.utils import timezone

from forecasting.models import Symbol
from tests.api.conftest import Predict, Send
from tests.api.serving import add_steady_bars, serve
from tests.factories import make_symbol

pytestmark = pytest.mark.django_db

LAST_SESSION = date(2025, 6, 2)
REFUSAL = "Training not started: the symbol was taken out of service by the operator."


@pytest.fixture(autouse=True)
def _removed(today: None, predict: Predict) -> None:
    """SAMPLE1 has a model and a forecast, and is then removed."""
    symbol = make_symbol()
    add_steady_bars(symbol, end=LAST_SESSION)
    serve(symbol)
    assert predict()["status"] == "success"
    Symbol.objects.update(removed_at=timezone.now())


def test_check_has_no_model_of_it(post: Send) -> None:
    assert post("check", {"symbols": ["SAMPLE1"]}) == [
        {"symbol": "SAMPLE1", "model_exists": False, "message": REFUSAL, "version": None, "version_id": None, "training": None}
    ]


def test_it_is_not_forecast(predict: Predict) -> None:
    assert predict() == {"status": "failed", "error": REFUSAL}


def test_it_has_no_metrics(post: Send) -> None:
    (answer,) = post("metrics", {"symbols": ["SAMPLE1"]})
    assert answer == {
        "symbol": "SAMPLE1",
        "error": "Metrics for this model are not available: the symbol was taken out of service by the operator.",
    }


def test_it_is_not_trained(post: Send) -> None:
    assert post("retrain", {"symbol": "SAMPLE1"}, status=404)["details"] == {"symbol": [REFUSAL]}


def test_its_history_is_still_listed(get: Send) -> None:
    for name in ("versions", "forecasts"):
        assert [row["symbol"] for row in get(f"/models/{name}")["results"]] == ["SAMPLE1"]
    (row,) = get("/models/symbols")["results"]
    assert row["removed_at"]


def test_the_others_are_answered(post: Send) -> None:
    add_steady_bars(make_symbol("SAMPLE2"), end=LAST_SESSION)
    answers = post("predict", {"symbols": ["SAMPLE1", "SAMPLE2"]})["predictions"]
    assert [answer["status"] for answer in answers.values()] == ["failed", "success"]
