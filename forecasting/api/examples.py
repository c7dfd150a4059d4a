"""The examples of the OpenAPI document, as values; the tests check each against its shape."""

from typing import Any

from forecasting.api.errors import UNAVAILABLE, body
from forecasting.api.records import SCORE_FIELDS
from forecasting.api.serializers import AVAILABLE, IN_PROGRESS, NO_METRICS, NOT_STARTED, STARTED
from forecasting.pipeline.config import ForecastConfig

SYMBOLS = {"symbols": ["BBAS3.SA", "PETR4.SA"]}
SYMBOL = {"symbol": "BBAS3.SA"}

WAITING: dict[str, Any] = {
    "id": 7,
    "state": "queued",
    "reason": "never_trained",
    "position": 1,
    "expected_wait": 6,
    "stage": "",
    "epoch": None,
    "epochs": None,
    "progress": 0.0,
    "error": "",
    "created_at": "2025-06-02T03:00:00Z",
}
RUNNING = WAITING | {
    "state": "running",
    "position": 0,
    "expected_wait": 3,
    "stage": "fitting",
    "epoch": 18,
    "epochs": 20,
    "progress": 0.45,
}

# Of `check` and `metrics`: what they say of one symbol.
MODEL_AVAILABLE = {"symbol": "BBAS3.SA", "model_exists": True, "message": AVAILABLE, "version": 3, "training": None}
NO_MODEL = {"symbol": "PETR4.SA", "model_exists": False, "version": None}
TRAINING_STARTED = NO_MODEL | {"message": STARTED, "training": WAITING}
TRAINING_IN_PROGRESS = NO_MODEL | {"message": IN_PROGRESS, "training": RUNNING}
TRAINING_NOT_STARTED = NO_MODEL | {
    "message": NOT_STARTED.format(reason="PETR4.SA has 120 bars; at least 490 are needed"),
    "training": None,
}
OUT_OF_SAMPLE: dict[str, Any] = {
    "MAE": 0.123,
    "RMSE": 0.456,
    "MAPE": 1.23,
    "R²": 0.89,
    "last_data_date": "2025-06-01",
    "training_duration": 4.2,
    "training_data_size": 1600,
    "validation_data_size": 350,
    "naive": {"MAE": 0.124, "RMSE": 0.455, "MAPE": 1.24, "R²": 0.89},
    "mase": 0.998,
    "beats_naive_p": 0.31,
    "pinball_ratio": 0.985,
    "coverage_80": 0.801,
    "directional_accuracy": 0.52,
    "test_size": 350,
}
METRICS = {
    "symbol": "BBAS3.SA",
    "metrics": OUT_OF_SAMPLE
    | {
        "version": 3,
        "live": {"forecasts": 40, "mae": 0.13, "mase": 1.01, "coverage_80": 0.79},
        "simulated": False,
    },
}
METRICS_NOT_AVAILABLE = {"symbol": "PETR4.SA", "error": NO_METRICS}

FORECAST = {
    "status": "success",
    "predicted_price": 16.04,
    "variation": {"status": "negative", "percentage": -0.98},
    "last_close": 16.2,
    "as_of": "2025-06-02",
    "target_date": "2025-06-03",
    "stale": False,
    "interval": {"level": 0.8, "low": 15.7, "high": 16.41, "spread_factor": 1.02},
    "probability_up": 0.354,
    "quantiles": {
        "0.05": 15.6,
        "0.1": 15.7,
        "0.25": 15.87,
        "0.5": 16.04,
        "0.75": 16.23,
        "0.9": 16.41,
        "0.95": 16.5,
    },
    "model": {"version": 3, "kind": "symbol", "trained_at": "2025-06-01T03:04:05Z"},
    "skill": {"mase": 0.998, "beats_naive": False},
    "currency": "BRL",
    "simulated": False,
}
FORECAST_AND_TRAINING = {
    "predictions": {"BBAS3.SA": FORECAST, "PETR4.SA": {"status": "training", "message": STARTED, "training": WAITING}}
}
FORECAST_AND_FAILURE = {
    "predictions": {
        "BBAS3.SA": FORECAST,
        "PETR4.SA": {"status": "failed", "error": "The model's files cannot be used: model.onnx is missing."},
    }
}

RETRAINING = {
    "message": "Re-training initiated for model: BBAS3.SA",
    "training": WAITING | {"reason": "requested"},
}

# Rows of the lists.
FINDING_ROW = {
    "id": 12,
    "symbol": "BA.L",
    "rule": "unit jump",
    "verdict": "refused",
    "date": "2025-06-02",
    "value": 7.748,
    "text": "close is 7.748 on 2025-06-02 after 765 on 2025-05-30, about a hundredth: two units are mixed",
    "found_at": "2025-06-03T03:00:00Z",
}

SYMBOL_ROW = {
    "symbol": "BBAS3.SA",
    "exchange": "BVMF",
    "currency": "BRL",
    "last_date": "2025-06-02",
    "last_close": 16.2,
    "synced_at": "2025-06-03T03:00:00Z",
    "upstream_state": "ok",
    "upstream_reason": "",
    "unknown_until": None,
    "restatements": [
        {
            "reason": "dividend",
            "date": "2025-05-15",
            "ratio": 0.9873,
            "bars_changed": 2613,
            "restated_at": "2025-05-16T03:00:09Z",
        }
    ],
}
VERSION_ROW: dict[str, Any] = {
    "id": 12,
    "symbol": "BBAS3.SA",
    "kind": "symbol",
    "number": 3,
    "state": "active",
    "decision": "Replaces version 2.",
    "metrics": OUT_OF_SAMPLE,
    "config": ForecastConfig().to_dict(),
    "data_start": "2016-01-04",
    "data_end": "2025-06-01",
    "bar_count": 2340,
    "files": {"model.onnx": {"sha256": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef", "size": 24576}},
    "files_state": "kept",
    "trained_at": "2025-06-01T03:04:05Z",
    "data_revised": False,
    "live": {"forecasts": 40, "mae": 0.13, "mase": 1.01, "coverage_80": 0.79},
}
ACTIVATED = VERSION_ROW | {"decision": "Activated by staff."}
TRAINING_ROW = {
    "id": 7,
    "symbol": "BBAS3.SA",
    "state": "succeeded",
    "reason": "too_old",
    "priority": 10,
    "attempts": 1,
    "stage": "trained",
    "epoch": None,
    "epochs": None,
    "progress": 1.0,
    "error": "",
    "created_at": "2025-06-01T03:00:00Z",
    "started_at": "2025-06-01T03:04:00Z",
    "finished_at": "2025-06-01T03:04:05Z",
}
CANCELLED = TRAINING_ROW | {"state": "cancelled", "stage": "fitting", "epoch": 18, "epochs": 20, "progress": 0.45}
FORECAST_ROW: dict[str, Any] = {
    "id": 99,
    "symbol": "BBAS3.SA",
    "version": 3,
    "kind": "symbol",
    "as_of": "2025-06-02",
    "target_date": "2025-06-03",
    "last_close": 16.2,
    "price": 16.04,
    "quantiles": FORECAST["quantiles"],
    "interval_level": 0.8,
    "interval_low": 15.7,
    "interval_high": 16.41,
    "spread_factor": 1.02,
    "probability_up": 0.354,
    "issued_at": "2025-06-03T03:05:00Z",
    "actual_date": "2025-06-03",
    "actual_close": 16.1,
    "absolute_error": 0.06,
    "naive_absolute_error": 0.1,
    "inside_interval": True,
    "scored_at": "2025-06-04T03:05:00Z",
}
SCORE: dict[str, Any] = {name: FORECAST_ROW[name] for name in ("actual_date", *SCORE_FIELDS)}
FORECAST_DETAIL = FORECAST_ROW | {"scores": [SCORE | {"reason": "first"}]}

INVALID_SYMBOL = body(
    "The request is invalid.", {"symbols": {"1": ["This is an ISIN; give the exchange's symbol, such as PETR4.SA."]}}
)
NO_SYMBOL = body("The request is invalid.", {"symbol": ["This field is required."]})
QUEUE_FULL = body("Training not started: the queue is full (500 waiting); try again later.")
OUT_OF_REACH = body(UNAVAILABLE)
