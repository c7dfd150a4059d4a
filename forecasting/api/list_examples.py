"""Examples of the lists' rows in the OpenAPI document. Their figures come from one run, see examples.py."""

from typing import Any

from forecasting.api.records import SCORE_FIELDS
from forecasting.pipeline.config import ForecastConfig

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
    "activated_at": None,
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
ACTIVATED = VERSION_ROW | {"activated_at": "2026-11-26T14:02:11Z"}
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
    "price_now": None,
    "session_fraction": None,
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
_BAND = {"price": 23.06, "low_80": 22.78, "high_80": 23.37, "low_90": 22.68, "high_90": 23.46}
_AS_ISSUED = {
    "price": 23.0,
    "low_80": 22.73,
    "high_80": 23.3,
    "low_90": 22.63,
    "high_90": 23.4,
    "session": "2024-12-30",
    "basis": "close",
    "version": 2,
    "kind": "symbol",
    "issued_at": "2026-11-26T13:33:05Z",
}
CHART: dict[str, Any] = {
    "symbol": "BBAS3.SA",
    "exchange": "BVMF",
    "currency": "BRL",
    "decimals": 2,
    "simulated": False,
    "level": 0.8,
    "closes": [{"date": "2024-12-27", "close": 23.0}, {"date": "2024-12-30", "close": 23.06}],
    "forecasts": [_AS_ISSUED | {"close": 23.06, "inside": True}],
    "next": [_AS_ISSUED | _BAND | {"session": "2025-01-02", "issued_at": "2026-11-26T13:33:06Z"}],
    "outlook": [
        {
            "price": 23.06,
            "low_80": 22.41,
            "high_80": 23.74,
            "low_90": 22.21,
            "high_90": 23.97,
            "session": "2025-01-08",
            "sessions": 5,
        }
    ],
    "live": None,
    "versions": [{"number": 2, "kind": "symbol", "since": "2024-12-30"}],
    "restatements": [],
}
