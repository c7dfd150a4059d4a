"""Examples of the main routes in the OpenAPI document; list_examples.py has those of the lists.

Tests compare each one with its schema and its fields, and all of them with each other.

The figures come from two runs on real prices that end on 2024-12-30 (hence `stale`): the forecast from one with the shipped base,
everything else from one of an earlier base, which has a live record.
"""

from typing import Any

from forecasting.api.check import AVAILABLE
from forecasting.api.errors import UNAVAILABLE, body
from forecasting.api.metrics import NO_METRICS
from forecasting.api.trainings import IN_PROGRESS, STARTED
from forecasting.serving import NOT_STARTED, UNREQUESTED

SYMBOLS = {"symbols": ["BBAS3.SA", "PETR4.SA"]}
SYMBOL = {"symbol": "BBAS3.SA"}

WAITING: dict[str, Any] = {
    "id": 4,
    "state": "queued",
    "reason": "never_trained",
    "position": 1,
    "expected_wait": 22,
    "stage": "",
    "epoch": None,
    "epochs": None,
    "progress": 0.0,
    "error": "",
    "created_at": "2026-11-26T13:33:06Z",
}
RUNNING = WAITING | {
    "state": "running",
    "reason": "requested",
    "position": 0,
    "expected_wait": 12,
    "stage": "fitting",
    "epoch": 3,
    "epochs": 8,
    "progress": 0.188,
}

# Answers of `check` and `metrics` for one symbol.
MODEL_AVAILABLE = {
    "symbol": "BBAS3.SA",
    "model_exists": True,
    "message": AVAILABLE,
    "version": 2,
    "version_id": 3,
    "training": None,
}
NO_MODEL = {"symbol": "PETR4.SA", "model_exists": False, "version": None, "version_id": None}
TRAINING_STARTED = NO_MODEL | {"message": STARTED, "training": WAITING}
TRAINING_IN_PROGRESS = NO_MODEL | {"message": IN_PROGRESS, "training": RUNNING}
TRAINING_NOT_STARTED = NO_MODEL | {
    "message": NOT_STARTED.format(reason="PETR4.SA has 120 bars; at least 496 are needed"),
    "training": None,
}
LIVE = {"forecasts": 44, "mae": 0.2326, "mase": 1.0, "coverage_80": 0.8182}
RECORD = LIVE | {"pinball_ratio": None, "brier": None}  # of forecasts that were issued without a reference
NO_RECORD = {"forecasts": 0, "mae": None, "mase": None, "coverage_80": None, "pinball_ratio": None, "brier": None}
UNTESTED = {"test": None, "live": NO_RECORD}
TEST = {"forecasts": 347, "mae": 0.2073, "mase": 1.0, "coverage_80": 0.8098, "pinball_ratio": 0.9819, "brier": None}
METRICS = {
    "symbol": "BBAS3.SA",
    "metrics": {
        "MAE": 0.2073,
        "RMSE": 0.2678,
        "MAPE": 0.8859,
        "R²": 0.9812,
        "r2": 0.9812,
        "last_data_date": "2024-10-30",
        "training_duration": 8.1,
        "training_data_size": 1619,
        "validation_data_size": 347,
        "naive": {"MAE": 0.2073, "RMSE": 0.2678, "MAPE": 0.8859, "R²": 0.9812, "r2": 0.9812},
        "mase": 1.0,
        "beats_naive_p": None,
        "pinball_ratio": 0.9819,
        "coverage_80": 0.8098,
        "directional_accuracy": None,
        "brier": None,
        "test_size": 347,
        "version": 2,
        "version_id": 3,
        "live": LIVE,
        "by_basis": {"close": {"test": TEST, "live": RECORD}, "lead": UNTESTED, "live": UNTESTED},
        "by_horizon": {"1": {"test": TEST, "live": RECORD}, "5": UNTESTED, "10": UNTESTED, "21": UNTESTED},
        "by_part": dict.fromkeys(["0.0", "0.05", "0.25", "0.5", "0.75"], NO_RECORD),
        "simulated": False,
    },
}
METRICS_NOT_AVAILABLE = {"symbol": "PETR4.SA", "error": NO_METRICS}

FORECAST = {
    "status": "success",
    "predicted_price": 23.06,
    "point_forecast": "last_close",
    "basis": "close",
    "known_until": None,
    "leads": None,
    "variation": {"status": "neutral", "percentage": 0.0},
    "last_close": 23.06,
    "as_of": "2024-12-30",
    "target_date": "2025-01-02",
    "interval": {"level": 0.8, "low": 22.72, "high": 23.42, "spread_factor": 0.9687},
    "usual_width": 1.13,
    "risk": {
        "below": {"1": 0.18, "2": 0.048, "5": 0.002},
        "above": {"1": 0.202, "2": 0.054, "5": 0.002},
        "value_at_risk": {"95": 1.97, "99": 3.08},
    },
    "summary": "80 %: 22.72 to 23.42 BRL at the close of Thursday 2 January; 1.1 times as wide as usual.",
    "probability_up": 0.5,
    "quantiles": {
        "0.01": 22.35,
        "0.05": 22.61,
        "0.1": 22.72,
        "0.25": 22.9,
        "0.5": 23.06,
        "0.75": 23.24,
        "0.9": 23.42,
        "0.95": 23.53,
        "0.99": 23.81,
    },
    "outlook": [
        {
            "sessions": 5,
            "target_date": "2025-01-08",
            "median": 23.06,
            "interval": {"level": 0.8, "low": 22.38, "high": 23.76},
            "quantiles": {
                "0.01": 21.59,
                "0.05": 22.15,
                "0.1": 22.38,
                "0.25": 22.71,
                "0.5": 23.06,
                "0.75": 23.41,
                "0.9": 23.76,
                "0.95": 24.0,
                "0.99": 24.63,
            },
        },
        {
            "sessions": 10,
            "target_date": "2025-01-15",
            "median": 23.06,
            "interval": {"level": 0.8, "low": 22.08, "high": 24.08},
            "quantiles": {
                "0.01": 20.99,
                "0.05": 21.76,
                "0.1": 22.08,
                "0.25": 22.55,
                "0.5": 23.06,
                "0.75": 23.58,
                "0.9": 24.08,
                "0.95": 24.43,
                "0.99": 25.33,
            },
        },
        {
            "sessions": 21,
            "target_date": "2025-01-30",
            "median": 23.06,
            "interval": {"level": 0.8, "low": 21.54, "high": 24.68},
            "quantiles": {
                "0.01": 20.02,
                "0.05": 21.09,
                "0.1": 21.54,
                "0.25": 22.26,
                "0.5": 23.06,
                "0.75": 23.89,
                "0.9": 24.68,
                "0.95": 25.21,
                "0.99": 26.56,
            },
        },
    ],
    "model": {"version": 2, "version_id": 3, "kind": "symbol", "trained_at": "2026-11-26T13:32:59Z"},
    "skill": {"mase": 1.0, "beats_naive": False},
    "currency": "BRL",
    "session": {"state": "closed", "opens": "2026-11-27T13:00:00Z", "closes": "2026-11-27T21:00:00Z"},
    "price_now": None,
    "price_time": None,
    "delayed": None,
    "price_problem": None,
    "recorded": True,
    "close_forecast": None,
    "stale": True,
    "simulated": False,
}
FORECAST_AND_TRAINING = {
    "predictions": {"BBAS3.SA": FORECAST, "PETR4.SA": {"status": "training", "message": IN_PROGRESS, "training": WAITING}}
}
FORECAST_AND_FAILURE = {
    "predictions": {
        "BBAS3.SA": FORECAST,
        "PETR4.SA": {"status": "failed", "error": "The model's files cannot be used: model.onnx is missing."},
    }
}

FORECAST_AND_NO_MODEL = {
    "predictions": {
        "BBAS3.SA": FORECAST,
        "PETR4.SA": {"status": "failed", "error": NOT_STARTED.format(reason=UNREQUESTED)},
    }
}

RETRAINING = {
    "message": "Re-training initiated for model: BBAS3.SA",
    "training": WAITING | {"id": 3, "reason": "requested", "expected_wait": 20, "created_at": "2026-11-26T13:32:43Z"},
}

# Rows of the lists.
INVALID_SYMBOL = body(
    "The request is invalid.", {"symbols": {"1": ["This is an ISIN; give the exchange's symbol, such as PETR4.SA."]}}
)
NO_SYMBOLS = body("The request is invalid.", {"symbols": ["This field is required."]})
NO_SYMBOL = body("The request is invalid.", {"symbol": ["This field is required."]})
TRAINED_JUST_NOW = body("The last training of BBAS3.SA ended less than 60 min ago; try again in 40 min.")
UNKNOWN_SYMBOL = body(
    "The request is invalid.",
    {
        "symbol": [
            NOT_STARTED.format(
                reason="Yahoo Finance has no such symbol; check its spelling and exchange suffix (perhaps PETR4.SA)",
            )
        ]
    },
)
QUEUE_FULL = body("Training not started: the queue is full (500 waiting); try again later.")
HEALTHY = {"status": "ok", "prices": "yahoo"}
LIVING = {"status": "ok"}
READY_PARTS = {
    "database": {"status": "ok", "text": "It answers."},
    "migrations": {"status": "ok", "text": "All are applied."},
    "worker": {"status": "ok", "text": "Its task clusters answer."},
    "queue": {"status": "ok", "text": "Nothing waits for too long."},
    "daily_job": {"status": "ok", "text": "Run of 2026-11-26: succeeded."},
    "price_source": {"status": "ok", "text": "yahoo may be asked."},
    "media": {"status": "ok", "text": "Model files can be written and read."},
}
READY = {"status": "ok", "parts": READY_PARTS}
NO_WORKER = {"status": "failed", "text": "No worker since 2026-11-26 11:14 UTC."}
NOT_READY = body("Not ready: worker.", READY_PARTS | {"worker": NO_WORKER})
OUT_OF_REACH = body(UNAVAILABLE)
