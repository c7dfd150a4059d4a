"""The examples of the document have the fields of the answers and agree with each other."""

from typing import Any

import pytest
from pytest_django import Settings

from forecasting.api import check, examples, forecast, list_examples, metrics, predict, trainings
from forecasting.api.fields import Shape
from forecasting.api.metrics import metrics_json
from forecasting.models import ModelVersion
from forecasting.models.scores import SUMS
from forecasting.pipeline.config import ForecastConfig
from forecasting.scorecards import Scorecard

FORECAST: dict[str, Any] = examples.FORECAST
FORECAST_ROW: dict[str, Any] = list_examples.FORECAST_ROW
VERSION_ROW: dict[str, Any] = list_examples.VERSION_ROW
SYMBOL_ROW: dict[str, Any] = list_examples.SYMBOL_ROW
METRICS: Any = examples.METRICS["metrics"]


@pytest.mark.parametrize("example", [examples.METRICS, FORECAST_ROW, VERSION_ROW, SYMBOL_ROW, list_examples.FINDING_ROW])
def test_the_rows_belong_to_the_requested_symbol(example: dict[str, object]) -> None:
    assert example["symbol"] == examples.SYMBOL["symbol"] == examples.SYMBOLS["symbols"][0]


def test_all_examples_show_the_same_version() -> None:
    numbers = [example["version"] for example in (examples.MODEL_AVAILABLE, METRICS, FORECAST["model"], FORECAST_ROW)]
    assert numbers == [VERSION_ROW["number"]] * 4
    ids = [example["version_id"] for example in (examples.MODEL_AVAILABLE, METRICS, FORECAST["model"], FORECAST_ROW)]
    assert ids == [VERSION_ROW["id"]] * 4
    assert VERSION_ROW["trained_at"].startswith(FORECAST["model"]["trained_at"].removesuffix("Z"))


def test_its_metrics_are_those_of_the_version_as_the_api_shows_them(settings: Settings) -> None:
    settings.PRICE_SOURCE = "yahoo"
    became = {"forecasts": 44, "errors": 44 * 0.2326, "naive_errors": 44 * 0.2326, "inside": 36}
    card = Scorecard(
        ModelVersion(pk=VERSION_ROW["id"], number=VERSION_ROW["number"], metrics=VERSION_ROW["metrics"]),
        [dict.fromkeys(SUMS, 0) | {"horizon": 1, "basis": "close", "part": None, **became}],
    )
    shown = metrics_json(examples.SYMBOL["symbol"], card)
    assert list(shown["metrics"].items()) == list(METRICS.items())
    assert FORECAST["skill"]["mase"] == METRICS["mase"]


@pytest.mark.parametrize(
    ("example", "shape"),
    [
        (FORECAST, forecast.ForecastAnswer),
        (FORECAST["interval"], forecast.Interval),
        (FORECAST["model"], forecast.ServingModel),
        (examples.FORECAST_AND_TRAINING["predictions"]["PETR4.SA"], predict.TrainingAnswer),
        (examples.FORECAST_AND_FAILURE["predictions"]["PETR4.SA"], predict.FailureAnswer),
        (examples.WAITING, trainings.ActiveTraining),
        (examples.RETRAINING, trainings.RetrainAnswer),
        (examples.MODEL_AVAILABLE, check.CheckAnswer),
        (METRICS, metrics.Metrics),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_an_example_has_the_fields_of_its_answer_in_their_order(example: dict[str, Any], shape: type[Shape]) -> None:
    assert list(example) == list(shape().fields)


def test_the_interval_agrees_with_the_quantiles() -> None:
    quantiles, interval = FORECAST["quantiles"], FORECAST["interval"]
    low, high = ForecastConfig(interval_level=interval["level"]).interval_levels
    assert (interval["low"], interval["high"]) == (quantiles[str(low)], quantiles[str(high)])
    assert FORECAST["predicted_price"] == quantiles["0.5"]
    assert list(quantiles.values()) == sorted(quantiles.values())


def test_the_point_forecast_is_the_last_close_as_stated() -> None:
    assert FORECAST["point_forecast"] == "last_close"
    assert FORECAST["predicted_price"] == FORECAST["last_close"] == round(SYMBOL_ROW["last_close"], 2)
    assert VERSION_ROW["metrics"]["median"]["weight"] == 0
    assert METRICS["beats_naive_p"] is METRICS["directional_accuracy"] is None


def test_the_errors_of_a_scored_forecast_follow_from_its_prices() -> None:
    row = FORECAST_ROW
    assert row["absolute_error"] == abs(row["actual_close"] - row["price"])
    assert row["naive_absolute_error"] == abs(row["actual_close"] - row["last_close"])
    assert row["inside_interval"] == (row["interval_low"] <= row["actual_close"] <= row["interval_high"])
    assert row["actual_close"] == SYMBOL_ROW["last_close"]  # the close of its target session, which is the newest one
    assert row["target_date"] == SYMBOL_ROW["last_date"] == FORECAST["as_of"]


def test_a_refusal_names_the_bars_that_a_training_needs() -> None:
    assert f"at least {ForecastConfig().minimum_bars} are needed" in str(examples.TRAINING_NOT_STARTED["message"])
