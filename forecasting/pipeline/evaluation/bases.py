"""Tables on forecasts with and without leads: by exchange, and how often the probabilities of a rise came true."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.backtest import CLOSE, LEAD, best
from forecasting.pipeline.evaluation.baselines import FORECAST, scores
from forecasting.pipeline.evaluation.quantiles import levels_of, quantile_columns
from forecasting.pipeline.model.distribution import probability_up
from forecasting.prices.calendars import exchange_of
from forecasting.prices.markets import sessions_like

EDGES = (0.0, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 1.0)  # of the groups of probabilities


def by_exchange(forecasts: pd.DataFrame, histories: Mapping[str, pd.DataFrame], config: ForecastConfig) -> pd.DataFrame:
    """One row per exchange. Figures are means over symbols, the pinball ratio a geometric one, as in baselines.py.

    `close` and `best` are the pinball ratios without leads, and with them where they were known. MAE / naive, its
    Diebold-Mariano t (errors averaged per day, negative if better than the last close) and coverage are those of `best`.
    `forecasts`: as from `historical_forecasts`.
    """
    rows = []
    exchange = forecasts["symbol"].map(lambda symbol: sessions_like(exchange_of(symbol)))
    for name, mine in forecasts.groupby(exchange):
        without, with_leads = (_scores_of(each, histories, config) for each in (mine[mine["basis"] == CLOSE], best(mine)))
        if without is None or with_leads is None:
            continue
        table, gain = with_leads
        rows.append(
            {
                "exchange": name,
                "symbols": len(table),
                "with leads": (best(mine)["basis"] == LEAD).mean(),
                "close": _geometric_mean(without[0]["ratio"]),
                "best": _geometric_mean(table["ratio"]),
                "MAE / naive": table["relative_mae"].mean(),
                "t": -gain.mean() / gain.std() * np.sqrt(len(gain)) if gain.any() else 0.0,
                "coverage": table["covered"].mean(),
                "least": table["covered"].min(),
                "most": table["covered"].max(),
            }
        )
    return pd.DataFrame(rows).set_index("exchange") if rows else pd.DataFrame()


def reliability(forecasts: pd.DataFrame, histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How often closes rose, by groups of the probability that forecasts of basis `lead` gave to it.

    Sessions without a move do not count. Columns: `forecasts`, the mean `probability` and the share that `rose`.
    """
    parts = [_rises(each, histories[str(symbol)]) for symbol, each in forecasts[forecasts["basis"] == LEAD].groupby("symbol")]
    if not parts:
        return pd.DataFrame()
    rises = pd.concat(parts)
    groups = rises.groupby(pd.cut(rises["probability"], EDGES), observed=True)
    return pd.DataFrame(groups.agg(forecasts=("rose", "size"), probability=("probability", "mean"), rose=("rose", "mean")))


def _rises(mine: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    columns = quantile_columns(mine)
    closes = bars["close"]
    last, following = closes.loc[mine["as_of"]].to_numpy(), closes.shift(-1).loc[mine["as_of"]].to_numpy()
    returns = np.log(mine[columns].to_numpy() / last[:, None])
    moved = np.isfinite(following) & (following != last)
    probabilities = [probability_up(row, levels_of(columns)) for row in returns[moved]]
    return pd.DataFrame({"probability": probabilities, "rose": (following > last)[moved]})


def _scores_of(
    forecasts: pd.DataFrame, histories: Mapping[str, pd.DataFrame], config: ForecastConfig
) -> tuple[pd.DataFrame, pd.Series] | None:
    """Figures by symbol, and by day the mean of the absolute error that was saved; None without any outcome."""
    figures, gains = [], []
    for symbol, mine in forecasts.groupby("symbol"):
        bars = histories[str(symbol)]
        happened = mine[mine["as_of"].isin(bars.index[:-1])]
        if len(happened):
            methods, gain = scores(happened.set_index("as_of"), bars, config)
            figures += [row for row in methods if row["method"] == FORECAST]
            gains.append(gain)
    return (pd.DataFrame(figures), pd.concat(gains).groupby(level=0).mean()) if figures else None


def _geometric_mean(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))
