"""Fits the live model (see live.py): the openings on daily bars of many symbols, the course of a session on hourly bars.

A volatility regression stands for the daily forecast, so that the coefficients do not depend on a network.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.quantiles import pinball_losses
from forecasting.pipeline.model.features import Array, compute_features
from forecasting.pipeline.model.live import (
    INTERVAL,
    LARGEST_RATIO,
    LEVELS,
    Course,
    LiveModel,
    LiveTest,
    Node,
    Opening,
    Today,
    gap_ratio,
)
from forecasting.pipeline.model.volatility import REWEIGHTINGS, VolatilityRegression, fit_volatility
from forecasting.pipeline.model.windows import Scaler
from forecasting.prices import hours as hourly
from forecasting.prices.calendars import exchange_of
from forecasting.prices.markets import ALWAYS, FOREX, sessions_like

LARGEST_GAP = 0.35  # log return; larger ones are probably splits, or errors of units
YEARS = 15  # the last ones of an exchange; earlier opens are often made up
HELD_BACK = 0.3  # share of the days, the last ones, that tests an opening
FEWEST_DAYS = 60  # held back; with fewer, there is no test
FEWEST_ROWS = 500  # of an opening or of a node
SMALLEST_SIZE, LARGEST_SIZE = 0.05, 3.0  # of a move in half-widths; larger ones are mostly errors of the open

Mask = npt.NDArray[np.bool_]
History = tuple[str, pd.DataFrame]  # symbol and bars


@dataclass(frozen=True, slots=True, eq=False)
class DailyRows:
    """Sessions of the symbols of one exchange with what was known the day before."""

    days: npt.NDArray[np.datetime64]  # (rows,) session
    sizes: Array  # (rows, regressors) of the volatility regression, not standardised
    volatility: Array  # (rows,)
    gap: Array  # (rows,) log return from the last close to the open
    rest: Array  # (rows,) log return from the open to the close

    def where(self, mask: Mask) -> "DailyRows":
        """The rows of a mask."""
        return DailyRows(*(getattr(self, name)[mask] for name in self.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class DailyScale:
    """The volatility regression that stands for the daily forecast."""

    scaler: Scaler
    regression: VolatilityRegression
    unit: float  # half-width of the interval in units of the expected size

    def half_width(self, sizes: Array, volatility: Array) -> Array:
        """Half-width of the interval, log return, (rows,)."""
        half_width: Array = self.unit * self.regression.size(self.scaler.transform(sizes)) * volatility
        return half_width


def fit_live(histories: Iterable[History], hours: Mapping[str, pd.DataFrame], config: ForecastConfig) -> LiveModel:
    """The live model of daily bars (contract frames, see bars.py), read one at a time, and of hourly bars (see hours.py).

    Without hours the model has forecasts at the open alone. Nothing later than the last bar of a history is used for it.
    """
    exchanges = _by_exchange(histories, config)
    scales = {exchange: _scale(rows, config) for exchange, rows in exchanges.items()}
    openings = {exchange: _opening(rows, scales[exchange], _tested(rows, config)) for exchange, rows in exchanges.items()}
    at_open = [_residuals(exchanges[exchange], scales[exchange], opening) for exchange, opening in openings.items()]
    first = Node(fraction=0.0, elapsed=0.0, usual=1.0, response=0.0, levels=_levels(np.concatenate(at_open or [np.zeros(1)])))
    known = openings.get(hourly.EXCHANGE)
    if not hours or known is None:
        return LiveModel(course=Course((first,)), openings=openings, hours_through=None)
    nodes = _nodes(_hourly_rows(hours, scales[hourly.EXCHANGE], known, config))
    through = max(bars.index[-1].date() for bars in hours.values())
    return LiveModel(course=Course((first, *nodes)), openings=openings, hours_through=through)


def _by_exchange(histories: Iterable[History], config: ForecastConfig) -> dict[str, DailyRows]:
    parts: dict[str, list[DailyRows]] = defaultdict(list)
    for symbol, bars in histories:
        exchange = sessions_like(exchange_of(symbol))
        if exchange not in (ALWAYS, FOREX) and len(bars) > config.warm_up + FEWEST_DAYS:
            parts[exchange].append(_daily_rows(bars, config))
    known = {exchange: each for exchange, each in sorted(parts.items()) if sum(len(rows.days) for rows in each) >= FEWEST_ROWS}
    return {exchange: _joined(each) for exchange, each in known.items()}


def _joined(parts: Sequence[DailyRows]) -> DailyRows:
    rows = DailyRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in DailyRows.__slots__))
    return rows.where(rows.days > rows.days.max() - np.timedelta64(round(365.25 * YEARS), "D"))


def _daily_rows(bars: pd.DataFrame, config: ForecastConfig) -> DailyRows:
    table = compute_features(bars, config)
    opening, close = (bars[name].to_numpy(np.float64)[config.warm_up + 1 :] for name in ("open", "close"))
    rows = DailyRows(
        days=table.dates[1:].to_numpy(),
        sizes=table.features[:-1, config.regressors],
        volatility=table.volatility[:-1],
        gap=np.log(opening / table.close[:-1]),
        rest=np.log(close / opening),
    )
    # An open that equals the last close is often one that the source did not know.
    return rows.where((opening != table.close[:-1]) & (np.abs(rows.gap) < LARGEST_GAP))


def _scale(rows: DailyRows, config: ForecastConfig) -> DailyScale:
    spread = rows.sizes.std(axis=0)
    scaler = Scaler(tuple(rows.sizes.mean(axis=0).tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist()))
    regression = fit_volatility(scaler.transform(rows.sizes), (rows.gap + rows.rest) / rows.volatility, config.quantile_levels)
    low, high = (regression.levels[config.quantile_levels.index(level)] for level in INTERVAL)
    return DailyScale(scaler, regression, (high - low) / 2)


def _opening(rows: DailyRows, scale: DailyScale, test: LiveTest) -> Opening:
    """Least squares of the size of the moves from the open to the close; then a factor gives the interval its coverage."""
    half_width = scale.half_width(rows.sizes, rows.volatility)
    gaps = gap_ratio(rows.gap, half_width)
    size, whole = (np.minimum(np.abs(moves) / half_width, LARGEST_SIZE) for moves in (rows.rest, rows.gap + rows.rest))
    intercept, slope = _linear(gaps, size)
    slope = max(slope, 0.0)  # after a gap a session is never calmer; a fit on few symbols may say so
    spread = float(np.quantile(size / np.maximum(intercept + slope * gaps, SMALLEST_SIZE), INTERVAL[1] - INTERVAL[0]))
    return Opening(
        intercept=spread * intercept,
        slope=spread * slope,
        left=float(size.mean() / whole.mean()),
        test=test,
        rows=len(size),
        through=pd.Timestamp(rows.days.max()).date(),
    )


def _linear(regressor: Array, sizes: Array) -> tuple[float, float]:
    """Intercept and slope of sizes, reweighted by the fitted size, because their spread grows with it."""
    design, fitted = np.column_stack([np.ones(len(sizes)), regressor]), np.ones(len(sizes))
    for _ in range(1 + REWEIGHTINGS):
        solution = np.linalg.lstsq(design / fitted[:, None], sizes / fitted, rcond=None)[0]
        fitted = np.maximum(design @ solution, SMALLEST_SIZE)
    return float(solution[0]), float(solution[1])


def _residuals(rows: DailyRows, scale: DailyScale, opening: Opening) -> Array:
    """Moves from the open to the close in half-widths, (rows,)."""
    residuals: Array = rows.rest / opening.scale(scale.half_width(rows.sizes, rows.volatility), rows.gap)
    return residuals


def _levels(residuals: Array) -> tuple[float, ...]:
    """Quantiles of residuals and of their mirror image: a drift of the past must not move the median."""
    quantiles = np.quantile(np.concatenate([residuals, -residuals]), LEVELS)
    symmetric: Array = (quantiles - quantiles[::-1]) / 2
    return tuple(symmetric.tolist())


def _tested(rows: DailyRows, config: ForecastConfig) -> LiveTest:
    """The test of an opening; nothing that its forecasts use was fitted on the days held back."""
    days = np.unique(rows.days)
    first = days[min(round(len(days) * (1 - HELD_BACK)), len(days) - 1)]
    earlier, later = rows.where(rows.days < first), rows.where(rows.days >= first)
    tested = LiveTest(days=len(np.unique(later.days)), t=None)
    if len(earlier.days) < FEWEST_ROWS or tested.days < FEWEST_DAYS:
        return tested
    scale = _scale(earlier, config)
    opening, before = _opening(earlier, scale, tested), scale.half_width(earlier.sizes, earlier.volatility)
    half_width = scale.half_width(later.sizes, later.volatility)
    live = later.gap[:, None] + opening.scale(half_width, later.gap)[:, None] * _levels(_residuals(earlier, scale, opening))
    daily = half_width[:, None] * _levels((earlier.gap + earlier.rest) / before)
    losses = (pinball_losses(later.gap + later.rest, quantiles, np.array(LEVELS)) for quantiles in (live, daily))
    gain = pd.Series(np.subtract(*losses)).groupby(later.days).mean()
    return replace(tested, t=float(gain.mean() / (gain.std() / np.sqrt(len(gain)))) if gain.std() > 0 else None)


def _hourly_rows(hours: Mapping[str, pd.DataFrame], scale: DailyScale, opening: Opening, config: ForecastConfig) -> pd.DataFrame:
    """Columns `fraction`; `size` since the open and `rest` until the close, both in half-widths of the session."""
    parts = [_hourly_rows_of(bars, scale, opening, config) for bars in hours.values()]
    return pd.concat(parts, ignore_index=True)


def _hourly_rows_of(hours: pd.DataFrame, scale: DailyScale, opening: Opening, config: ForecastConfig) -> pd.DataFrame:
    bars, rows = hourly.daily_bars(hours), hourly.moments(hours)
    table = compute_features(bars, config)
    half_width = pd.Series(scale.half_width(table.features[:-1, config.regressors], table.volatility[:-1]), index=table.dates[1:])
    rows = rows[rows["session"].isin(half_width.index)]
    last = bars["close"].shift(1)[rows["session"]].to_numpy()
    today = Today(last, *(rows[name].to_numpy() for name in ("open", "high", "low", "price", "fraction")))
    unit = opening.scale(np.asarray(half_width[rows["session"]], dtype=np.float64), today.gap)
    rest = np.log(bars["close"][rows["session"]].to_numpy() / today.price)
    found = pd.DataFrame({"fraction": today.fraction, "size": today.size / unit, "rest": rest / unit})
    return found[np.abs(today.gap) < LARGEST_GAP]


def _nodes(rows: pd.DataFrame) -> list[Node]:
    """A node at each point of a usual session; shortened sessions have points of their own, too few for a fit."""
    rows = rows.assign(rest_size=rows["rest"].abs().clip(upper=LARGEST_SIZE))
    points = {fraction: each for fraction, each in rows.groupby(rows["fraction"].round(6)) if len(each) >= FEWEST_ROWS}
    whole = points.pop(0.0)["rest_size"].mean() if 0.0 in points else 0.0
    return [_node(float(fraction), each, whole) for fraction, each in points.items()] if whole else []


def _node(fraction: float, rows: pd.DataFrame, whole: float) -> Node:
    """`whole`: mean size of the moves from the open to the close."""
    elapsed = 1 - (rows["rest_size"].mean() / whole) ** 2
    size = rows["size"].to_numpy() / np.sqrt(elapsed)
    usual = float(size.mean())
    left = rows["rest_size"].to_numpy() / np.sqrt(1 - elapsed)
    intercept, slope = _linear(np.minimum(size / usual, LARGEST_RATIO) - 1, left)
    course = Course(
        (Node(fraction=fraction, elapsed=elapsed, usual=usual, response=slope / intercept, levels=(0.0,) * len(LEVELS)),)
    )
    ones = np.ones(len(rows))
    half_width = course.half_width(ones, rows["size"].to_numpy(), elapsed * ones)
    return replace(course.nodes[0], levels=_levels(rows["rest"].to_numpy() / half_width))
