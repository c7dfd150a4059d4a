"""The examples of the document tell one story: what one of them says of a symbol, the others say as well."""

from typing import Any

import pytest

from forecasting.api import examples
from forecasting.pipeline.config import ForecastConfig

FORECAST: dict[str, Any] = examples.FORECAST
FORECAST_ROW: dict[str, Any] = examples.FORECAST_ROW
VERSION_ROW: dict[str, Any] = examples.VERSION_ROW
SYMBOL_ROW: dict[str, Any] = examples.SYMBOL_ROW
METRICS: Any = examples.METRICS["metrics"]


@pytest.mark.parametrize("example", [examples.METRICS, FORECAST_ROW, VERSION_ROW, SYMBOL_ROW, examples.FINDING_ROW])
def test_the_rows_are_of_the_symbol_that_is_asked_for(example: dict[str, object]) -> None:
    assert example["symbol"] == examples.SYMBOL["symbol"] == examples.SYMBOLS["symbols"][0]


def test_one_version_serves_in_all_of_them() -> None:
    numbers = [example["version"] for example in (examples.MODEL_AVAILABLE, METRICS, FORECAST["model"], FORECAST_ROW)]
    assert numbers == [VERSION_ROW["number"]] * 4
    assert VERSION_ROW["trained_at"].startswith(FORECAST["model"]["trained_at"].removesuffix("Z"))


def test_its_metrics_are_the_same_rounded_and_unrounded() -> None:
    stored = {name: value for name, value in VERSION_ROW["metrics"].items() if name in METRICS}
    assert {name: METRICS[name] for name in stored} == {name: _rounded(value) for name, value in stored.items()}
    assert FORECAST["skill"]["mase"] == METRICS["mase"]


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def test_the_interval_is_that_of_the_quantiles() -> None:
    quantiles, interval = FORECAST["quantiles"], FORECAST["interval"]
    low, high = ForecastConfig(interval_level=interval["level"]).interval_levels
    assert (interval["low"], interval["high"]) == (quantiles[str(low)], quantiles[str(high)])
    assert FORECAST["predicted_price"] == quantiles["0.5"]
    assert list(quantiles.values()) == sorted(quantiles.values())


def test_the_point_forecast_is_what_it_says() -> None:
    assert FORECAST["point_forecast"] == "last_close"
    assert FORECAST["predicted_price"] == FORECAST["last_close"] == round(SYMBOL_ROW["last_close"], 2)
    assert VERSION_ROW["metrics"]["median"]["weight"] == 0
    assert METRICS["beats_naive_p"] is METRICS["directional_accuracy"] is None


def test_the_errors_of_a_scored_forecast_follow_from_its_prices() -> None:
    row = FORECAST_ROW
    assert row["absolute_error"] == abs(row["actual_close"] - row["price"])
    assert row["naive_absolute_error"] == abs(row["actual_close"] - row["last_close"])
    assert row["inside_interval"] == (row["interval_low"] <= row["actual_close"] <= row["interval_high"])
    assert row["actual_close"] == SYMBOL_ROW["last_close"]  # of its target session, the last one that is known
    assert row["target_date"] == SYMBOL_ROW["last_date"] == FORECAST["as_of"]


def test_a_refusal_names_the_bars_that_a_training_needs() -> None:
    assert f"at least {ForecastConfig().minimum_bars} are needed" in str(examples.TRAINING_NOT_STARTED["message"])
