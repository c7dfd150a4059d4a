"""Forecasts of one model on rows that its fit did not see: for its backtest and for its calibration."""

import numpy as np
import pandas as pd

from forecasting.pipeline.evaluation.quantiles import quantile_column
from forecasting.pipeline.model.adaptation import adapted, stretched
from forecasting.pipeline.model.conformal import ValidationRows
from forecasting.pipeline.model.features import FeatureTable
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.trained import ServingModel


def make_backtest(model: ServingModel, table: FeatureTable, rows: range) -> tuple[pd.DataFrame, float]:
    """Forecasts of `model` at each of `rows` with the actual closes, and the factor for the next forecast.

    Columns as in artifacts.TrainedModel. The spread adapts as for live forecasts, from the outcomes of earlier rows.
    """
    now, following = slice(rows.start, rows.stop), slice(rows.start + 1, rows.stop + 1)
    forecaster = Forecaster(model)
    quantiles = forecaster.forecast_rows(table, rows)
    actual = np.log(table.close[following] / table.close[now])
    factors = adapted(quantiles, actual, forecaster.levels, interval=forecaster.interval_levels)
    prices = table.close[now, None] * np.exp(stretched(quantiles, factors[:-1]))
    frame = pd.DataFrame(
        {
            "as_of": table.dates[now],
            "target_date": table.dates[following],
            "last_close": table.close[now],
            "actual_close": table.close[following],
        }
    )
    return frame.assign(**dict(zip(map(quantile_column, model.config.quantile_levels), prices.T, strict=True))), float(factors[-1])


def validation_rows(model: ServingModel, table: FeatureTable, rows: range, *, exchange: str = "") -> ValidationRows:
    """Uncalibrated forecasts of `model` at `rows` with their targets. `exchange` is only needed for several symbols."""
    now = slice(rows.start, rows.stop)
    return ValidationRows(
        dates=table.dates[now].to_numpy(),
        exchange=np.full(len(rows), exchange),
        target=table.target[now],
        quantiles=Forecaster(model).standardised_quantiles(table, rows),
        volatility=table.volatility[now],
    )


def stands_still(table: FeatureTable, rows: range) -> bool:
    """Whether no close changes over the targets of `rows`; then relative metrics are undefined, as the naive error is 0."""
    closes = table.close[rows.start : rows.stop + 1]
    return bool((closes == closes[0]).all())
