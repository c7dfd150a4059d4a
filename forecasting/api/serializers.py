"""The main routes: what comes in is validated here, what goes out is shaped and rounded here."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from forecasting.api.shapes import CLASSICAL_METRICS
from forecasting.ledger import Scorecard
from forecasting.models import Forecast, Training
from forecasting.models.symbols import ticker_problem
from forecasting.prices.price_digits import decimals
from forecasting.serving import Prediction
from forecasting.training.positions import Position
from forecasting.training.requests import ModelStatus

MAX_SYMBOLS = 50

AVAILABLE = "Model and scaler are available."
STARTED = "Model for this stock code has not been trained yet. Starting training, try again later."
IN_PROGRESS = "Training already in progress. The model will be available soon."
NOT_STARTED = "Training not started: {reason}."
NO_METRICS = "Metrics for this model are not available."
NOWHERE = Position()


@extend_schema_field({"type": "string", "pattern": r"^\s*[A-Za-z0-9^][A-Za-z0-9.^=&_-]{0,23}\s*$", "example": "PETR4.SA"})
class TickerField(serializers.CharField):
    """A symbol as the price source writes it; space around it and its case do not matter."""

    def to_internal_value(self, data: Any) -> str:
        """The ticker, trimmed and in upper case; refuses what is not a text or cannot be a symbol."""
        if not isinstance(data, str):
            raise serializers.ValidationError(f"A symbol is a text, not {type(data).__name__}.")
        ticker = data.strip()
        if ticker.isascii():  # the upper case of other letters may be ASCII, such as that of a long s
            ticker = ticker.upper()
        if problem := ticker_problem(ticker):
            raise serializers.ValidationError(problem)
        return ticker


class TickersField(serializers.ListField):
    """Symbols; duplicates collapse, the order is kept."""

    child = TickerField()

    def to_internal_value(self, data: Any) -> list[str]:
        """Each ticker once. Too long a list is refused before its members are looked at, which could be thousands of errors."""
        if isinstance(data, list) and not 1 <= len(data) <= MAX_SYMBOLS:
            raise serializers.ValidationError(f"A request names 1 to {MAX_SYMBOLS} symbols, not {len(data)}.")
        return list(dict.fromkeys(super().to_internal_value(data)))


@extend_schema_serializer(component_name="Symbols")  # the document adds "Request"
class SymbolsRequest(serializers.Serializer[Any]):
    """1 to 50 symbols; duplicates collapse, the order is kept."""

    symbols = TickersField(min_length=1, max_length=MAX_SYMBOLS)


@extend_schema_serializer(component_name="Symbol")
class SymbolRequest(serializers.Serializer[Any]):
    """One symbol."""

    symbol = TickerField()


def utc(moment: datetime) -> str:
    """A moment as ISO 8601, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def simulated() -> bool:
    """Whether the prices are made up, and with them every figure."""
    return bool(settings.PRICE_SOURCE == "sample")


def training_json(training: Training, positions: Mapping[int, Position]) -> dict[str, Any]:
    """An active training; `position` counts from 1 in the queue and is 0 while it runs."""
    position = positions.get(training.pk, NOWHERE)
    return {
        "id": training.pk,
        "state": training.state,
        "reason": training.reason,
        "position": position.number,
        "expected_wait": position.expected_wait_s,
        "stage": training.stage,
        "epoch": training.epoch,
        "epochs": training.epochs,
        "progress": round(training.progress, 3),
        "error": training.error,
        "created_at": utc(training.created_at),
    }


def check_json(status: ModelStatus, positions: Mapping[int, Position]) -> dict[str, Any]:
    """The answer of `check` for one symbol."""
    if status.version:
        message = AVAILABLE
    elif status.training:
        message = STARTED if status.started else IN_PROGRESS
    else:
        message = NOT_STARTED.format(reason=status.refusal)
    return {
        "symbol": status.symbol.ticker,
        "model_exists": status.version is not None,
        "message": message,
        "version": status.version.number if status.version else None,
        "training": training_json(status.training, positions) if status.training else None,
    }


def metrics_json(ticker: str, card: Scorecard | None) -> dict[str, Any]:
    """The answer of `metrics` for one symbol: all out of sample, the naive forecast's beside the model's."""
    if card is None:
        return {"symbol": ticker, "error": NO_METRICS}
    stored = card.version.metrics
    return {
        "symbol": ticker,
        "metrics": {
            **{name: error_of_prices(stored[name]) for name in CLASSICAL_METRICS},
            "last_data_date": stored["last_data_date"],
            "training_duration": round(stored["training_duration"], 1),
            "training_data_size": stored["training_data_size"],
            "validation_data_size": stored["validation_data_size"],
            "naive": {name: error_of_prices(stored["naive"][name]) for name in CLASSICAL_METRICS},
            "mase": round(stored["mase"], 4),
            "beats_naive_p": rounded(stored["beats_naive_p"]),
            "pinball_ratio": round(stored["pinball_ratio"], 4),
            "coverage_80": round(stored["coverage_80"], 4),
            "directional_accuracy": rounded(stored["directional_accuracy"]),
            "test_size": stored["test_size"],
            "version": card.version.number,
            "live": live_json(card),
            "simulated": simulated(),
        },
    }


def error_of_prices(error: float) -> float:
    """An error with four decimals, with more if it is small."""
    return round(error, max(4, decimals(error)))


def rounded(figure: float | None) -> float | None:
    """To four decimals; None if it was not measured."""
    return None if figure is None else round(figure, 4)


def live_json(card: Scorecard) -> dict[str, Any]:
    """The track record of what was really served; empty until the first target session has happened."""
    if not card.forecasts:
        return {"forecasts": 0, "mae": None, "mase": None, "coverage_80": None}
    return {
        "forecasts": card.forecasts,
        "mae": error_of_prices(card.mae),
        "mase": round(card.mae / card.naive_mae, 4) if card.naive_mae else None,
        "coverage_80": round(card.coverage, 4),
    }


def prediction_json(prediction: Prediction, positions: Mapping[int, Position]) -> dict[str, Any]:
    """The answer of `predict` for one symbol."""
    if prediction.forecast:
        return {"status": "success"} | forecast_json(prediction.forecast) | {"stale": prediction.stale, "simulated": simulated()}
    if prediction.training:
        return {
            "status": "training",
            "message": STARTED if prediction.started else IN_PROGRESS,
            "training": training_json(prediction.training, positions),
        }
    return {"status": "failed", "error": prediction.error}


def forecast_json(forecast: Forecast) -> dict[str, Any]:
    """A forecast, prices in the symbol's currency."""
    places = decimals(forecast.last_close)
    percentage = round(forecast.change_percent, 2) + 0.0  # the sum turns -0.0 into 0.0
    version = forecast.version
    return {
        "predicted_price": round(forecast.price, places),
        "point_forecast": forecast.point_forecast,
        "variation": {
            "status": "positive" if percentage > 0 else "negative" if percentage < 0 else "neutral",
            "percentage": percentage,
        },
        "last_close": round(forecast.last_close, places),
        "as_of": forecast.as_of.isoformat(),
        "target_date": forecast.target_date.isoformat(),
        "interval": {
            "level": forecast.interval_level,
            "low": round(forecast.interval_low, places),
            "high": round(forecast.interval_high, places),
            "spread_factor": round(forecast.spread_factor, 4),
        },
        "probability_up": round(forecast.probability_up, 3),
        "quantiles": {level: round(price, places) for level, price in sorted(forecast.quantiles.items())},
        "model": {"version": version.number, "kind": version.kind, "trained_at": utc(version.trained_at)},
        "skill": {"mase": round(version.skill["mase"], 4), "beats_naive": version.skill["beats_naive"]},
        "currency": forecast.symbol.currency,
    }
