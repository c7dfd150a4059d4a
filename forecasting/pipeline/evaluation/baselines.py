"""Baselines: simple quantile forecasts of the next return, and a table that compares a backtest with them."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.metrics import (
    coverage,
    improvement_p,
    relative_mae,
    rolling_quantiles,
)
from forecasting.pipeline.evaluation.quantiles import pinball_loss, quantile_column
from forecasting.pipeline.model.features import Array, FeatureTable, compute_features
from forecasting.pipeline.model.horizons import outcomes

REFERENCE, EWMA, FORECAST = "last 250 returns", "EWMA volatility", "stockpred"


def ewma_quantiles(table: FeatureTable, levels: Array, *, known: int, sessions: int = 1) -> Array:
    """Quantiles of the log return over the next `sessions` at each row, (rows, levels), with 0 as median.

    They are today's EWMA volatility times the quantiles of the first `known` standardised returns. RiskMetrics Technical
    Document (1996), with empirical quantiles.
    """
    standardised = np.quantile((outcomes(table, sessions) / table.volatility)[:known], levels)
    standardised[len(levels) // 2] = 0.0
    quantiles: Array = table.volatility[:, None] * standardised
    return quantiles


def score_beside_baselines(
    forecasts: pd.DataFrame, histories: Mapping[str, pd.DataFrame], config: ForecastConfig, *, sessions: int = 1
) -> pd.DataFrame:
    """One row per method and one column per figure over all symbols; empty if no forecast's session has happened.

    - pinball ratio: quantile loss divided by that of REFERENCE, the geometric mean over symbols; worst: the largest.
    - MAE / naive: absolute error divided by that of the last close, the mean over symbols.
    - coverage: share of closes inside the interval, the mean over symbols; least and most: its extremes.
    - p of beating naive: only of FORECAST; errors are first averaged per date. NaN if the forecast always is the last close.

    `forecasts` as from `historical_forecasts`; those whose session has not happened do not count.
    """
    rows, gains = [], []
    for symbol, mine in forecasts.groupby("symbol", sort=False):
        bars = histories[str(symbol)]
        ended = mine[mine["as_of"].isin(bars.index[:-sessions])]
        if ended.empty:
            continue
        each, gain = scores(ended.set_index("as_of"), bars, config, sessions)
        rows += each
        gains.append(gain)
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    by_method = table.groupby("method", sort=False)
    summary = pd.DataFrame(
        {
            "pinball ratio": np.exp(np.log(table["ratio"]).groupby(table["method"], sort=False).mean()),
            "worst": by_method["ratio"].max(),
            "MAE / naive": by_method["relative_mae"].mean(),
            "coverage": by_method["covered"].mean(),
            "least": by_method["covered"].min(),
            "most": by_method["covered"].max(),
        }
    )
    gain = pd.concat(gains).groupby(level=0).mean().to_numpy()
    beats = improvement_p(gain) if gain.any() else np.nan
    return summary.assign(**{"p of beating naive": [beats if name == FORECAST else np.nan for name in summary.index]})


def scores(
    mine: pd.DataFrame, bars: pd.DataFrame, config: ForecastConfig, sessions: int = 1
) -> tuple[list[dict[str, object]], pd.Series]:
    """One row per method for one symbol, and by date the gain: naive absolute error - absolute error of the forecast."""
    levels = np.array(config.quantile_levels)
    table = compute_features(bars, config)
    rows = table.dates.get_indexer(pd.DatetimeIndex(mine.index))
    actual = outcomes(table, sessions)[rows]
    columns = [quantile_column(level) for level in config.quantile_levels]
    own = np.log(mine[columns].to_numpy() / table.close[rows, None])
    methods = {
        REFERENCE: rolling_quantiles(np.log(bars["close"]).diff(sessions), levels).loc[table.dates[rows]].to_numpy(),
        EWMA: ewma_quantiles(table, levels, known=int(rows[0]) - sessions, sessions=sessions)[rows],
        FORECAST: own,
    }
    reference = pinball_loss(actual, methods[REFERENCE], levels)
    naive, error = np.abs(np.exp(actual) - 1), np.abs(np.exp(actual) - np.exp(own[:, len(levels) // 2]))
    low, high = (config.quantile_levels.index(level) for level in config.interval_levels)
    figures: list[dict[str, object]] = [
        {
            "method": name,
            "ratio": pinball_loss(actual, quantiles, levels) / reference,
            "relative_mae": relative_mae(np.exp(actual), np.exp(quantiles[:, len(levels) // 2]), np.ones(len(actual))),
            "covered": coverage(actual, quantiles[:, low], quantiles[:, high]),
        }
        for name, quantiles in methods.items()
    ]
    return figures, pd.Series(naive - error, index=table.dates[rows])


def as_lines(summary: pd.DataFrame) -> Iterable[tuple[str, list[str]]]:
    """Each method and its figures, as text."""
    for name, figures in summary.iterrows():
        yield str(name), ["" if np.isnan(value) else f"{value:.4f}" for value in figures]
