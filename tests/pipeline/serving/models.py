"""Models of a symbol and of many symbols, with small made-up contents."""

from dataclasses import fields
from datetime import date

import pandas as pd

from forecasting.pipeline.model.features import compute_features
from forecasting.pipeline.model.horizons import fit_horizons
from forecasting.pipeline.model.windows import Scaler, Seen
from forecasting.pipeline.serving.trained import BaseModel, Fit, ServingModel, TrainedModel
from forecasting.pipeline.serving.verified import ArtifactFile
from tests.pipeline.market_data import TINY, serving_model, simulated_bars

Files = dict[str, ArtifactFile]

BASE_FILES = ["model.onnx", "trees.onnx", "model.weights.h5", "meta.json", "earlier.weights.h5", "earlier.trees.onnx"]


def trained_model(**changes: object) -> TrainedModel:
    backtest = {
        "as_of": pd.to_datetime(["2024-01-02", "2024-01-03"]),
        "target_date": pd.to_datetime(["2024-01-03", "2024-01-04"]),
        "last_close": [10.0, 1 / 3],
        "actual_close": [0.1 + 0.2, 11.0],
        "q50": [10.0, 2 / 3],
    }
    values: dict[str, object] = {
        **{field.name: getattr(serving_model(), field.name) for field in fields(ServingModel)},
        "symbol": "KO",
        "weights": b"weights",
        "metrics": {"MAE": 0.1, "R²": 0.9},
        "backtest": pd.DataFrame(backtest),
        "from_base": True,
        "data_start": date(2015, 1, 2),
        "data_end": date(2024, 1, 4),
        "bar_count": 2_000,
        "epochs": 4,
        "duration_s": 3.21,
        "versions": {"keras": "3"},
    }
    return TrainedModel(**(values | changes))  # type: ignore[arg-type]  # one dictionary for fields of many types


def base_model() -> BaseModel:
    columns = len(TINY.features)
    return BaseModel(
        **{field.name: getattr(serving_model(trees=b"trees"), field.name) for field in fields(ServingModel)},
        weights=b"weights",
        earlier_horizons=fit_horizons([(compute_features(simulated_bars(seed=5), TINY), 150)], TINY),
        earlier=Fit(b"earlier weights", Scaler(mean=(0.1,) * columns, spread=(1 / 3,) * columns), b"earlier trees"),
        seen=Seen(date(2022, 6, 30), date(2023, 6, 30)),
        symbols=("KO", "PEP"),
        metrics={"mase": 0.1 + 0.2, "symbols": 2},
        data_start=date(2015, 1, 2),
        data_end=date(2024, 1, 4),
        bar_count=4_000,
        duration_s=3.21,
        versions={"keras": "3"},
    )
