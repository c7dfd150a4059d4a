"""Out-of-sample record of the forecasts of several sessions ahead, for one symbol."""

from typing import Any

import numpy as np
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.metrics import coverage, rolling_quantiles
from forecasting.pipeline.evaluation.quantiles import pinball_loss
from forecasting.pipeline.model.adaptation import adapted_horizon, stretched
from forecasting.pipeline.model.features import FeatureTable
from forecasting.pipeline.model.horizons import Horizons, outcomes

Record = tuple[int, int]  # recent outcomes, and how many were inside the interval


def measure_horizons(
    horizons: Horizons, table: FeatureTable, rows: range, closes: pd.Series, config: ForecastConfig
) -> tuple[dict[str, dict[str, Any]], dict[int, Record]]:
    """By horizon: metrics of the forecasts at `rows` with an outcome, adapted as if live; and the record to start live from.

    Metrics: `forecasts`, `pinball_ratio` and `coverage_80` (named after the level), as for the next session. A horizon without any
    outcome is missing in the metrics.
    """
    metrics, records = {}, {}
    levels = np.array(horizons.quantile_levels)
    scored = np.isin(levels, config.quantile_levels)
    low, high = np.searchsorted(levels, config.interval_levels)
    for sessions, quantiles in horizons.quantiles(table, rows, config).items():
        actual = outcomes(table, sessions)[rows.start : rows.stop]
        factors, records[sessions] = adapted_horizon(quantiles, actual, levels, interval=config.interval_levels, sessions=sessions)
        ended = np.isfinite(actual)
        if not ended.any():
            continue
        issued, happened = stretched(quantiles, factors)[ended], actual[ended]
        reference = rolling_quantiles(np.log(closes).diff(sessions), levels[scored]).loc[table.dates[rows.start : rows.stop][ended]]
        usual = pinball_loss(happened, reference.to_numpy(), levels[scored])
        metrics[str(sessions)] = {
            "forecasts": int(ended.sum()),
            "pinball_ratio": pinball_loss(happened, issued[:, scored], levels[scored]) / usual,
            f"coverage_{round(config.interval_level * 100)}": coverage(happened, issued[:, low], issued[:, high]),
        }
    return metrics, records
