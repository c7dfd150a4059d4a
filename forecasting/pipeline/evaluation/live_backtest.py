"""Backtests of forecasts during the session: at the open of daily bars, or at the open and each full hour of hourly bars."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.evaluation.backtest import CLOSE
from forecasting.pipeline.evaluation.quantiles import pinball_losses, quantile_column
from forecasting.pipeline.model.features import Array
from forecasting.pipeline.model.live import INTERVAL, LEVELS, LiveModel, Today, next_live_factor, parts_of
from forecasting.prices import hours as hourly
from forecasting.prices.calendars import exchange_of
from forecasting.prices.markets import sessions_like

Positions = npt.NDArray[np.intp]

KNOWN = ("last_close", "open", "high", "low", "price", "fraction")  # fields of Today
COLUMNS = [quantile_column(level) for level in LEVELS]
REFERENCE_SESSIONS = 250  # of a symbol, whose moves from the same time to the close are the reference's
FEWEST_SESSIONS = 60  # until then a row has no reference


def at_opens(symbol: str, bars: pd.DataFrame) -> pd.DataFrame:
    """What is known at the open of each session of daily bars, one row each; columns as from `at_hours`."""
    session = bars.index[1:]
    opening = dict.fromkeys(("open", "high", "low", "price"), bars["open"].to_numpy()[1:])
    rows = pd.DataFrame({"session": session, "known_until": session, "fraction": 0.0, "traded": 1.0, **opening})
    return _with_closes(symbol, rows, bars)


def at_hours(symbol: str, hours: pd.DataFrame) -> pd.DataFrame:
    """What is known at the open and at each full hour of each session, one row each.

    Columns as from `hours.moments`; `symbol`; `as_of`, the session before, and its `last_close`; `close`, the actual one.
    """
    return _with_closes(symbol, hourly.moments(hours), hourly.daily_bars(hours))


def _with_closes(symbol: str, rows: pd.DataFrame, bars: pd.DataFrame) -> pd.DataFrame:
    days = pd.DataFrame({"close": bars["close"], "last_close": bars["close"].shift(1), "as_of": bars.index}, index=bars.index)
    days["as_of"] = days["as_of"].shift(1)
    joined = rows.join(days, on="session").assign(symbol=symbol)
    return joined.dropna(subset=["as_of"])


def live_forecasts(rows: pd.DataFrame, daily: pd.DataFrame, model: LiveModel) -> pd.DataFrame:
    """`rows` of all symbols with a daily forecast, their exchanges in the model: with q01 ... q99, in the units of `price`.

    `daily`: as from `historical_forecasts`. The online calibration of a session uses earlier ones alone.
    """
    scale = daily[daily["basis"] == CLOSE]
    half_width = np.log(scale["q90"] / scale["q10"]) / 2
    known = rows.merge(scale[["symbol", "as_of"]].assign(half_width=half_width), on=["symbol", "as_of"])
    known = known.sort_values(["known_until", "symbol"], ignore_index=True)
    exchange = known["symbol"].map(lambda symbol: sessions_like(exchange_of(symbol)))
    parts = [_of_exchange(each, model, str(name)) for name, each in known.groupby(exchange)]
    return pd.concat(parts, ignore_index=True) if parts else known


def _of_exchange(rows: pd.DataFrame, model: LiveModel, exchange: str) -> pd.DataFrame:
    if (session := model.of(exchange)) is None:
        return rows.iloc[:0]
    today = Today(*(rows[name].to_numpy() for name in KNOWN))
    moves = session.moves(today, rows["half_width"].to_numpy())
    happened = np.log(rows["close"].to_numpy() / today.price)
    moves *= _factors(rows, moves, happened)[:, None]
    return rows.assign(**dict(zip(COLUMNS, (today.price[:, None] * np.exp(moves)).T, strict=True)))


def _factors(rows: pd.DataFrame, moves: Array, happened: Array) -> Array:
    """The factor of the online calibration of each row, (rows,). Forecasts of one session and part share it."""
    factors = np.ones(len(rows))
    low, high = (moves[:, LEVELS.index(level)] for level in INTERVAL)
    part = parts_of(rows["fraction"].to_numpy())
    for each in np.unique(part):
        factor = 1.0
        for today in _by_session(rows, np.flatnonzero(part == each)):
            factors[today] = factor
            inside = (factor * low[today] <= happened[today]) & (happened[today] <= factor * high[today])
            factor = next_live_factor(factor, float(inside.mean()))
    return factors


def _by_session(rows: pd.DataFrame, which: Positions) -> Iterator[Positions]:
    """The positions `which`, in stretches of one session; rows are in the order of time."""
    sessions = rows["session"].to_numpy()[which]
    yield from np.split(which, np.flatnonzero(sessions[1:] != sessions[:-1]) + 1)


def by_time(forecasts: pd.DataFrame) -> pd.DataFrame:
    """One row per time of day: figures are means over symbols, the pinball ratio a geometric one.

    `MAE / naive`: of the median, over that of the last close. The pinball ratio is relative to the price now with the quantiles of
    the symbol's last REFERENCE_SESSIONS moves from the same time to the close.
    """
    rows = [
        {"time": time, **_figures(each)}
        for (time, _), each in forecasts.groupby([forecasts["known_until"].dt.strftime("%H:%M"), "symbol"])
    ]
    figures = pd.DataFrame(rows).groupby("time")
    return figures.agg(
        **{"MAE / naive": ("mae", "mean"), "pinball ratio": ("log_ratio", lambda logs: np.exp(logs.mean()))},
        coverage=("coverage", "mean"),
    )


def _figures(mine: pd.DataFrame) -> dict[str, float]:
    last = mine["last_close"].to_numpy()
    actual, now = (np.log(mine[name].to_numpy() / last) for name in ("close", "price"))
    quantiles = np.log(mine[COLUMNS].to_numpy() / last[:, None])
    rest = pd.Series(actual - now).rolling(REFERENCE_SESSIONS, min_periods=FEWEST_SESSIONS)
    usual = np.column_stack([rest.quantile(level).shift(1) if level != 0.5 else np.zeros(len(mine)) for level in LEVELS])
    known = np.isfinite(usual).all(axis=1)
    loss, reference = (
        pinball_losses(actual[known], each[known], np.array(LEVELS)).mean() for each in (quantiles, now[:, None] + usual)
    )
    low, high = (quantiles[:, LEVELS.index(level)] for level in INTERVAL)
    return {
        "mae": float(np.abs(np.exp(actual) - np.exp(quantiles[:, LEVELS.index(0.5)])).mean() / np.abs(np.expm1(actual)).mean()),
        "log_ratio": float(np.log(loss / reference)) if known.any() else np.nan,
        "coverage": float(((low <= actual) & (actual <= high)).mean()),
    }
