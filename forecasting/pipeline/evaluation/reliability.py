"""Reliability: how often what a backtest's forecasts promised has happened, for intervals, value at risk and large moves."""

from collections.abc import Iterator, Mapping

import pandas as pd

from forecasting.pipeline.evaluation.quantiles import levels_of, quantile_columns
from forecasting.pipeline.model.distribution import COVERAGES, PriceDistribution

MOVES = (1, 2, 5)  # percent of the last close
VALUES_AT_RISK = (95, 99)  # percent


def reliability(forecasts: pd.DataFrame, histories: Mapping[str, pd.DataFrame], *, sessions: int) -> pd.DataFrame:
    """One row per promise: `promised` and `happened`, mean shares over all forecasts whose session has happened.

    `forecasts` as from `historical_forecasts`. Empty if none has happened, or if the forecasts have no tails.
    """
    levels = levels_of(quantile_columns(forecasts))
    kept = [
        dict(_promises(PriceDistribution(dict(zip(map(str, levels), quantiles, strict=True)), last_close=last), actual))
        for symbol, mine in forecasts.groupby("symbol", sort=False)
        for quantiles, last, actual in _outcomes(mine, histories[str(symbol)]["close"], sessions)
        if levels[0] <= 0.01
    ]
    if not kept:
        return pd.DataFrame()
    promised, happened = (
        pd.DataFrame([{name: pair[part] for name, pair in each.items()} for each in kept]).mean() for part in (0, 1)
    )
    return pd.DataFrame({"promised": promised, "happened": happened})


def _outcomes(mine: pd.DataFrame, closes: pd.Series, sessions: int) -> Iterator[tuple[list[float], float, float]]:
    """Quantiles, last close and actual close of each forecast whose session has happened, in units of price."""
    ended = mine[mine["as_of"].isin(closes.index[:-sessions])].set_index("as_of")
    actual = closes.shift(-sessions)
    columns = quantile_columns(mine)
    return zip(ended[columns].to_numpy().tolist(), closes[ended.index], actual[ended.index], strict=True)


def _promises(forecast: PriceDistribution, actual: float) -> Iterator[tuple[str, tuple[float, bool]]]:
    """By name, the promised probability of an event and whether it has happened."""
    for coverage in COVERAGES:
        low, high = forecast.interval(coverage)
        yield f"inside the {coverage:.0%} interval", (coverage, low <= actual <= high)
    for percent in MOVES:
        yield f"more than {percent} % below", (forecast.probability_of_fall(percent), actual < forecast.moved(-percent))
        yield f"more than {percent} % above", (forecast.probability_of_rise(percent), actual > forecast.moved(percent))
    for percent in VALUES_AT_RISK:
        loss = forecast.value_at_risk(percent)
        yield f"loss beyond the {percent} % value at risk", (1 - percent / 100, actual < forecast.moved(-loss))
