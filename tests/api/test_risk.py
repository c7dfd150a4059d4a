"""What `predict` says for a person: how wide the interval is, what may be lost, one sentence, intervals of other coverage."""

from datetime import date
from typing import Any

import pytest

from forecasting.models import ModelVersion
from tests.api.conftest import Predict, Send
from tests.factories import METRICS, add_bars, make_forecast, make_symbol, make_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("today")]

LAST_SESSION = date(2025, 6, 2)
QUANTILES = {
    "0.01": 95.0,
    "0.05": 98.0,
    "0.1": 99.0,
    "0.25": 100.0,
    "0.5": 101.0,
    "0.75": 102.0,
    "0.9": 103.0,
    "0.95": 104.0,
    "0.99": 107.0,
}
RISK = {"below": {"1": 0.21049}, "above": {"1": 0.5}, "value_at_risk": {"95": 2.0049, "99": 5.0}}


def make_answered(*, usual_width: float | None = 0.032, **values: Any) -> None:
    """The forecast of the last session: last close 100, 80 % between 99 and 103."""
    add_bars(symbol := make_symbol(), end=LAST_SESSION)
    metrics = METRICS | ({"usual_width": usual_width} if usual_width else {})
    make_forecast(make_version(symbol, metrics=metrics), LAST_SESSION, **{"quantiles": QUANTILES, "risk": RISK} | values)


def test_the_width_stands_beside_the_usual_one(predict: Predict) -> None:
    make_answered()
    assert predict()["usual_width"] == 1.25


def test_risk_is_shown_rounded(predict: Predict) -> None:
    make_answered()
    assert predict()["risk"] == {"below": {"1": 0.21}, "above": {"1": 0.5}, "value_at_risk": {"95": 2.0, "99": 5.0}}


@pytest.mark.parametrize(
    ("usual_width", "ending"),
    [(0.032, "; 1.2 times as wide as usual."), (0.0401, "; as wide as usual."), (None, ".")],
)
def test_one_sentence_sums_it_up(predict: Predict, usual_width: float | None, ending: str) -> None:
    make_answered(usual_width=usual_width)
    assert predict()["summary"] == f"80 %: 99.00 to 103.00 USD at the close of Tuesday 3 June{ending}"


@pytest.mark.parametrize(
    ("coverage", "low", "high"), [(0.5, 100.0, 102.0), (0.8, 99.0, 103.0), (0.9, 98.0, 104.0), (0.98, 95.0, 107.0)]
)
def test_a_request_may_name_the_coverage(post: Send, get: Send, coverage: float, low: float, high: float) -> None:
    make_answered()
    answer = post("predict", {"symbols": ["SAMPLE1"], "coverage": coverage})["predictions"]["SAMPLE1"]
    assert answer["interval"] == {"level": coverage, "low": low, "high": high, "spread_factor": 1.0}
    assert answer["summary"].startswith(f"{round(100 * coverage)} %: {low:.2f} to {high:.2f} USD")
    assert get("/models/predict", {"symbols": "SAMPLE1", "coverage": str(coverage)})["predictions"]["SAMPLE1"] == answer


def test_a_coverage_between_two_levels_lies_between_their_quantiles(post: Send) -> None:
    make_answered()
    interval = post("predict", {"symbols": ["SAMPLE1"], "coverage": 0.95})["predictions"]["SAMPLE1"]["interval"]
    assert 95 < interval["low"] < 98
    assert 104 < interval["high"] < 107


def test_the_outlook_has_intervals_of_the_same_coverage(post: Send) -> None:
    make_answered()
    version = ModelVersion.objects.get()
    make_forecast(version, LAST_SESSION, horizon=5, target_date=date(2025, 6, 9), quantiles=QUANTILES)
    answer = post("predict", {"symbols": ["SAMPLE1"], "coverage": 0.9})["predictions"]["SAMPLE1"]
    (entry,) = answer["outlook"]
    assert (entry["sessions"], entry["interval"]) == (5, {"level": 0.9, "low": 98.0, "high": 104.0})


def test_a_forecast_without_tails_has_no_interval_that_needs_them(post: Send) -> None:
    make_answered(quantiles={"0.05": 98.0, "0.1": 99.0, "0.5": 101.0, "0.9": 103.0, "0.95": 104.0}, risk=None)
    answer = post("predict", {"symbols": ["SAMPLE1"], "coverage": 0.98})["predictions"]["SAMPLE1"]
    assert (answer["interval"], answer["risk"], answer["predicted_price"]) == (None, None, 101.0)


@pytest.mark.parametrize("coverage", [0.49, 0.99, "high", "nan", None, True, [0.9]])
def test_another_coverage_is_refused_by_name(post: Send, coverage: Any) -> None:
    answer = post("predict", {"symbols": ["SAMPLE1"], "coverage": coverage}, status=400)
    assert list(answer["details"]) == ["coverage"]
