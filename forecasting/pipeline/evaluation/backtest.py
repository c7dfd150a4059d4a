"""Backtests over many symbols: models fitted on bars up to one date forecast every later session, as in live operation."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.quantiles import quantile_column
from forecasting.pipeline.model.adaptation import adapted, adapted_horizon, stretched
from forecasting.pipeline.model.features import Array, FeatureTable, compute_features
from forecasting.pipeline.model.horizons import outcomes
from forecasting.pipeline.model.windows import UntrainableError
from forecasting.pipeline.serving.artifacts import BaseModel, ServingModel
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.training import train
from forecasting.prices.bars import between

History = tuple[str, pd.DataFrame]  # symbol and bars


class BaseKnowsTooMuchError(ValueError):
    """The base has seen bars after the backtest's fit period; the message gives the date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Dates of a backtest."""

    through: date  # last session of the fit
    first: date  # first `as_of` of the forecasts
    last: date  # last `as_of` of the forecasts

    def __post_init__(self) -> None:
        if not self.through < self.first <= self.last:
            raise ValueError(f"forecasts from {self.first} to {self.last} must lie after {self.through}, the end of the fit")


def require_ignorance(base: BaseModel, period: Period) -> None:
    """Raises BaseKnowsTooMuchError if the base has seen bars after the end of the fit."""
    if base.data_end > period.through:
        raise BaseKnowsTooMuchError(
            f"The base has seen bars up to {base.data_end}, later than {period.through}; train one up to it."
        )


def historical_forecasts(
    histories: Iterable[History],
    period: Period,
    config: ForecastConfig,
    *,
    base: BaseModel | None,
    fine_tune: bool,
    skipped: Callable[[str, str], None],
    sessions: int = 1,
) -> Iterator[pd.DataFrame]:
    """One frame per symbol: `symbol`, `as_of`, q01 ... q99, the quantiles of the close `sessions` later (units of price).

    If `fine_tune`, each symbol has its own model, trained from `base` on bars up to the end of the fit; else the base forecasts.
    Without a base, models are trained from scratch. `skipped` receives each symbol without forecasts, and the reason.
    Raises BaseKnowsTooMuchError.
    """
    if base is not None:
        require_ignorance(base, period)
    for symbol, bars in histories:
        known = between(bars, first=None, last=period.through)
        try:
            model = train(known, config, symbol=symbol, base=base) if fine_tune or base is None else base
            yield _forecasts(symbol, model, bars, period, sessions)
        except UntrainableError as error:
            skipped(symbol, str(error))


def _forecasts(symbol: str, model: ServingModel, bars: pd.DataFrame, period: Period, sessions: int) -> pd.DataFrame:
    forecaster = Forecaster(model)
    if len(bars) < forecaster.bars_needed:
        raise UntrainableError(f"{symbol} has {len(bars)} bars; at least {forecaster.bars_needed} are needed to forecast.")
    table = compute_features(bars, model.config)
    rows = _rows(table, period, window=model.config.window)
    wanted = table.dates[rows.start : rows.stop] >= pd.Timestamp(period.first)
    if not wanted.any():
        raise UntrainableError(f"{symbol} has no session from {period.first} to {period.last} to forecast from.")
    levels, quantiles = _next(forecaster, table, rows) if sessions == 1 else _further(symbol, model, table, rows, sessions)
    prices = (table.close[rows.start : rows.stop, None] * np.exp(quantiles))[wanted]
    frame = pd.DataFrame(prices, columns=[quantile_column(level) for level in levels])
    frame.insert(0, "as_of", table.dates[rows.start : rows.stop][wanted])
    frame.insert(0, "symbol", symbol)
    return frame


def _rows(table: FeatureTable, period: Period, *, window: int) -> range:
    """Rows from the session after the fit, where adaptation begins, to the last forecast."""
    start = int(np.searchsorted(table.dates.to_numpy(), np.datetime64(period.through), side="right"))
    stop = int(np.searchsorted(table.dates.to_numpy(), np.datetime64(period.last), side="right"))
    return range(max(start, window - 1), stop)


def _next(forecaster: Forecaster, table: FeatureTable, rows: range) -> tuple[tuple[float, ...], Array]:
    """Levels and quantiles of the next session's log return, (rows, levels), adapted from the outcomes of earlier rows."""
    quantiles = forecaster.forecast_rows(table, rows)
    actual = np.log(table.close[rows.start + 1 : rows.stop] / table.close[rows.start : rows.stop - 1])
    factors = adapted(
        quantiles[:-1], actual, forecaster.levels, interval=forecaster.interval_levels, factor=forecaster.first_factor
    )
    return forecaster.tailed_levels, stretched(forecaster.with_tails(quantiles), factors)


def _further(symbol: str, model: ServingModel, table: FeatureTable, rows: range, sessions: int) -> tuple[tuple[float, ...], Array]:
    """The same of the log return over `sessions`. Raises UntrainableError if the model has no such horizon."""
    if model.horizons is None or sessions not in model.horizons.sessions:
        raise UntrainableError(f"{symbol} has no forecast of {sessions} sessions ahead.")
    horizon, levels = model.horizons.of(sessions), model.horizons.quantile_levels
    quantiles = model.horizons.quantiles(table, rows, model.config)[sessions]
    actual = outcomes(table, sessions)[rows.start : rows.stop]
    factors, _ = adapted_horizon(
        quantiles,
        actual,
        np.array(levels),
        interval=model.config.interval_levels,
        sessions=sessions,
        earlier=(horizon.outcomes, horizon.covered),
    )
    return levels, stretched(quantiles, factors)


def in_one(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The forecasts of all symbols in one frame; an empty frame if there are none."""
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
