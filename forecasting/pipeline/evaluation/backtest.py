"""Backtests over many symbols: models fitted on bars up to one date forecast every later session, as in live operation.

Forecasts have a basis: `close` ones know the symbol's own bars, `lead` ones also the leads that ended before the next open.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.quantiles import quantile_column, quantile_columns
from forecasting.pipeline.model.adaptation import adapted, adapted_horizon, stretched
from forecasting.pipeline.model.features import Array, FeatureTable, compute_features
from forecasting.pipeline.model.horizons import outcomes
from forecasting.pipeline.model.lead_moves import LeadMarkets
from forecasting.pipeline.model.leads import SymbolLeads, own_returns
from forecasting.pipeline.model.windows import UntrainableError
from forecasting.pipeline.serving.forecaster import Forecaster
from forecasting.pipeline.serving.trained import BaseModel, ServingModel
from forecasting.pipeline.training import train
from forecasting.prices.bars import between
from forecasting.prices.calendars import exchange_of

History = tuple[str, pd.DataFrame]  # symbol and bars

CLOSE, LEAD = "close", "lead"  # values of `basis`


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
    """Raises BaseKnowsTooMuchError if the base, its lead model or its live model has seen bars after the end of the fit."""
    if base.data_end > period.through:
        raise BaseKnowsTooMuchError(
            f"The base has seen bars up to {base.data_end}, later than {period.through}; train one up to it."
        )
    for name, fitted in (("leads.json", base.leads), ("live.json", base.live)):
        if fitted and fitted.through and fitted.through > period.through:
            raise BaseKnowsTooMuchError(
                f"The base's {name} has seen bars up to {fitted.through}, later than {period.through}; fit it anew."
            )


def historical_forecasts(
    histories: Iterable[History],
    period: Period,
    config: ForecastConfig,
    *,
    base: BaseModel | None,
    own_versions: bool,
    skipped: Callable[[str, str], None],
    markets: LeadMarkets | None = None,
    sessions: int = 1,
) -> Iterator[pd.DataFrame]:
    """One frame per symbol: `symbol`, `as_of`, `basis`, q01 ... q99, the quantiles of the close `sessions` later (units of price).

    Each session has a row of basis `close`. If one session is forecast, it has another one of basis `lead` if `markets` has the
    moves of all leads, and the base has coefficients for the symbol's exchange.

    If `own_versions`, each symbol has its own model, trained from `base` on bars up to the end of the fit; else the base forecasts.
    Without a base, models are trained from scratch. `skipped` receives each symbol without forecasts, and the reason.
    Raises BaseKnowsTooMuchError.
    """
    if base is not None:
        require_ignorance(base, period)
    for symbol, bars in histories:
        known = between(bars, first=None, last=period.through)
        try:
            model = train(known, config, symbol=symbol, base=base) if own_versions or base is None else base
            leads = base.leads.of(symbol, exchange_of(symbol)) if base and base.leads and sessions == 1 else None
            yield _forecasts(symbol, model, bars, period, sessions, leads, markets or LeadMarkets({}))
        except UntrainableError as error:
            skipped(symbol, str(error))


def _forecasts(
    symbol: str,
    model: ServingModel,
    bars: pd.DataFrame,
    period: Period,
    sessions: int,
    leads: SymbolLeads | None,
    markets: LeadMarkets,
) -> pd.DataFrame:
    forecaster = Forecaster(model)
    if len(bars) < forecaster.bars_needed:
        raise UntrainableError(f"{symbol} has {len(bars)} bars; at least {forecaster.bars_needed} are needed to forecast.")
    table = compute_features(bars, model.config, exchange=exchange_of(symbol))
    rows = _rows(table, period, window=model.config.window)
    if not (table.dates[rows.start : rows.stop] >= pd.Timestamp(period.first)).any():
        raise UntrainableError(f"{symbol} has no session from {period.first} to {period.last} to forecast from.")
    each = np.arange(rows.start, rows.stop)
    if sessions == 1:
        quantiles = forecaster.forecast_rows(table, rows)
        frames = [_next(forecaster, quantiles, table, each).assign(basis=CLOSE)]
    else:
        frames = [_further(symbol, model, table, rows, sessions).assign(basis=CLOSE)]
    if leads is not None:
        moves = markets.standardised(exchange_of(symbol), table.dates[each])
        known = ~np.isnan(moves).any(axis=1)
        each, moves, scale = each[known], moves[known], table.volatility[each[known], None]
        led = leads.apply(quantiles[known] / scale, moves, own_returns(table, model.config)[each]) * scale
        frames.append(_next(forecaster, led, table, each).assign(basis=LEAD))
    frame = pd.concat(frames, ignore_index=True).assign(symbol=symbol)
    wanted = frame[frame["as_of"] >= pd.Timestamp(period.first)]
    return wanted[["symbol", "as_of", "basis", *quantile_columns(frame)]]


def _rows(table: FeatureTable, period: Period, *, window: int) -> range:
    """Rows from the session after the fit, where adaptation begins, to the last forecast."""
    start = int(np.searchsorted(table.dates.to_numpy(), np.datetime64(period.through), side="right"))
    stop = int(np.searchsorted(table.dates.to_numpy(), np.datetime64(period.last), side="right"))
    return range(max(start, window - 1), stop)


def _next(forecaster: Forecaster, quantiles: Array, table: FeatureTable, rows: npt.NDArray[np.intp]) -> pd.DataFrame:
    """Forecasts of the next session of one basis at `rows` (ascending), from their log returns before any online calibration.

    The factor of each row comes from the outcomes of the earlier ones.
    """
    earlier = rows[:-1]
    actual = np.log(table.close[earlier + 1] / table.close[earlier])
    factors = adapted(
        quantiles[:-1], actual, forecaster.levels, interval=forecaster.interval_levels, factor=forecaster.first_factor
    )[: len(rows)]
    return _prices(forecaster.tailed_levels, stretched(forecaster.with_tails(quantiles), factors), table, rows)


def _further(symbol: str, model: ServingModel, table: FeatureTable, rows: range, sessions: int) -> pd.DataFrame:
    """The same of the close `sessions` later. Raises UntrainableError if the model has no such horizon."""
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
    return _prices(levels, stretched(quantiles, factors), table, np.arange(rows.start, rows.stop))


def _prices(levels: Sequence[float], log_returns: Array, table: FeatureTable, rows: npt.NDArray[np.intp]) -> pd.DataFrame:
    prices = table.close[rows, None] * np.exp(log_returns)
    return pd.DataFrame(prices, columns=[quantile_column(level) for level in levels]).assign(as_of=table.dates[rows])


def best(forecasts: pd.DataFrame) -> pd.DataFrame:
    """One forecast per symbol and session: that of basis `lead` if there is one."""
    return forecasts.sort_values(["symbol", "as_of", "basis"]).drop_duplicates(["symbol", "as_of"], keep="last", ignore_index=True)


def in_one(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The forecasts of all symbols in one frame; an empty frame if there are none."""
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
