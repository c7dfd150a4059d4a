"""Examples of the OpenAPI document. Tests compare each one with its schema and its fields, and all of them with each other.

The figures come from two runs on real prices that end on 2024-12-30 (hence `stale`): the forecast from one with the shipped base,
everything else from one of an earlier base, which has a live record.
"""

from typing import Any

from forecasting.api.check import AVAILABLE
from forecasting.api.errors import UNAVAILABLE, body
from forecasting.api.metrics import NO_METRICS
from forecasting.api.records import SCORE_FIELDS
from forecasting.api.trainings import IN_PROGRESS, STARTED
from forecasting.pipeline.config import ForecastConfig
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
        "by_basis": {"close": {"test": TEST, "live": RECORD}, "lead": UNTESTED},
        "by_horizon": {"1": {"test": TEST, "live": RECORD}, "5": UNTESTED, "10": UNTESTED, "21": UNTESTED},
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
FINDING_ROW = {
    "id": 62,
    "symbol": "BBAS3.SA",
    "rule": "old_bars",
    "verdict": "noted",
    "date": None,
    "value": 474.0,
    "text": "the last bar is of 2024-12-30, 474 sessions before 2026-11-25",
    "found_at": "2026-11-26T13:33:06.110571Z",
}

SYMBOL_ROW = {
    "symbol": "BBAS3.SA",
    "exchange": "BVMF",
    "currency": "BRL",
    "last_date": "2024-12-30",
    "last_close": 23.058996,
    "synced_at": "2026-11-26T13:33:05.976162Z",
    "upstream_state": "ok",
    "upstream_reason": "",
    "unknown_until": None,
    "removed_at": None,
    "restatements": [],
}
ERRORS = {
    "MAE": 0.20734415561959652,
    "RMSE": 0.26783549287892094,
    "MAPE": 0.8858511911712074,
    "R²": 0.981182922195452,
    "r2": 0.981182922195452,
}
VERSION_ROW: dict[str, Any] = {
    "id": 3,
    "symbol": "BBAS3.SA",
    "kind": "symbol",
    "number": 2,
    "state": "active",
    "decision": "Replaces version 1: not significantly worse; on 341 sessions that both forecast out of sample, its quantile loss "
    "is 0.02% larger (p = 0.211 that it is no worse).",
    "metrics": {
        **ERRORS,
        "last_data_date": "2024-10-30",
        "training_duration": 8.1,
        "training_data_size": 1619,
        "validation_data_size": 347,
        "naive": ERRORS,
        "mase": 1.0,
        "beats_naive_p": None,
        "pinball_ratio": 0.9819003971348547,
        "coverage_80": 0.8097982708933718,
        "directional_accuracy": None,
        "brier": None,
        "test_size": 347,
        "median": {
            "weight": 0.0,
            "reason": "significantly worse than the last close on later validation days at BVMF",
            "tried": 0.5626261168027143,
            "p": 0.8749235900534864,
            "p_by_exchange": {"BVMF": 0.973447386840046, "XLON": 0.48849531546144265, "XNYS": 0.6163889287282204},
        },
        "unit": "BRL",
    },
    "config": ForecastConfig().to_dict(),
    "data_start": "2015-01-02",
    "data_end": "2024-10-30",
    "bar_count": 2439,
    "files": {
        "model.onnx": {"sha256": "808e75b968616ddd720ab4782373ddcaa5697ccdf657b61d2cdedc958a8ee28e", "size": 24309},
        "model.weights.h5": {"sha256": "79b5b2c0cf5519f8bf001beccdb5e68f0dc6a4240e8f12bd25849e0aca4cec29", "size": 52120},
        "meta.json": {"sha256": "31ed7bbd772e9d0fcdfae5d187fed1e7b9c2a56f69672ebd34f0a8a5a3e3503d", "size": 4013},
        "backtest.csv": {"sha256": "12bcf1b7f3e89bb2534bc113430733de4b05c3ab35675fee1e7dccaa369f6833", "size": 56782},
        "trees.onnx": {
            "sha256": "f51010e5df0f0742c2b790c666bb4c9ccac6026df7aad1a33981250eca45e750",
            "size": 282952,
            "folder": "1-4f5d2c7b9a10",
        },
    },
    "files_state": "kept",
    "trained_at": "2026-11-26T13:32:59.796155Z",
    "data_revised": False,
    "live": {"forecasts": 39, "mae": 0.2519199999999992, "mase": 1.0, "coverage_80": 0.7948717948717948},
}
ACTIVATED = VERSION_ROW | {"decision": "Activated by staff."}
TRAINING_ROW = {
    "id": 3,
    "symbol": "BBAS3.SA",
    "state": "succeeded",
    "reason": "requested",
    "priority": 50,
    "attempts": 1,
    "stage": "published",
    "epoch": None,
    "epochs": None,
    "progress": 1.0,
    "error": "",
    "created_at": "2026-11-26T13:32:43.874307Z",
    "started_at": "2026-11-26T13:32:43.912520Z",
    "finished_at": "2026-11-26T13:32:59.798683Z",
    "version": 2,
    "version_id": 3,
}
CANCELLED = TRAINING_ROW | {
    "id": 5,
    "symbol": "PETR4.SA",
    "state": "cancelled",
    "stage": "fitting",
    "epoch": 2,
    "epochs": 8,
    "progress": 0.125,
    "created_at": "2026-11-26T13:33:28.446607Z",
    "started_at": "2026-11-26T13:33:30.034748Z",
    "finished_at": "2026-11-26T13:33:44.339108Z",
    "version": None,
    "version_id": None,
}
WEBHOOK_ROW: dict[str, Any] = {
    "id": 1,
    "url": "https://example.org/stockpred",
    "events": ["training.ended", "forecast.scored"],
    "active": True,
    "created_by": "ana",
    "created_at": "2026-11-26T13:32:43.874307Z",
}
NEW_WEBHOOK = WEBHOOK_ROW | {"secret": "whsec_c2VjcmV0IGtleSBmb3Igc2lnbmF0dXJlcw=="}
FORECAST_ROW: dict[str, Any] = {
    "id": 44,
    "symbol": "BBAS3.SA",
    "version": 2,
    "version_id": 3,
    "kind": "symbol",
    "as_of": "2024-12-27",
    "target_date": "2024-12-30",
    "horizon": 1,
    "basis": "close",
    "known_until": None,
    "leads": None,
    "last_close": 23.001755,
    "predicted_price": 23.001755,
    "price": 23.001755,
    "quantiles": {
        "0.05": 22.632035733910943,
        "0.1": 22.729246593386538,
        "0.25": 22.874844572935817,
        "0.5": 23.001755,
        "0.75": 23.16376256868743,
        "0.9": 23.304961312969926,
        "0.95": 23.396347814306214,
    },
    "interval_level": 0.8,
    "interval_low": 22.729246593386538,
    "interval_high": 23.304961312969926,
    "spread_factor": 0.9910403787728866,
    "probability_up": 0.5,
    "currency": "BRL",
    "simulated": False,
    "issued_at": "2026-11-26T13:33:05.943981Z",
    "actual_date": "2024-12-30",
    "actual_close": 23.058996,
    "absolute_error": 0.05724100000000121,
    "naive_absolute_error": 0.05724100000000121,
    "inside_interval": True,
    "scored_at": "2026-11-26T13:33:06.137952Z",
}
SCORE: dict[str, Any] = {name: FORECAST_ROW[name] for name in ("actual_date", *SCORE_FIELDS)}
FORECAST_DETAIL = FORECAST_ROW | {"scores": [SCORE | {"reason": "first"}]}

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
OUT_OF_REACH = body(UNAVAILABLE)
