"""Fits the lead model (see leads.py) on histories of many symbols, and tests it on days held back from the betas."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.conformal import fit_spread
from forecasting.pipeline.model.features import Array, compute_features
from forecasting.pipeline.model.lead_moves import LeadMarkets
from forecasting.pipeline.model.leads import ExchangeLeads, LeadModel, LeadTest, SymbolLeads, clipped, own_returns, regressors
from forecasting.pipeline.model.volatility import LARGEST_TARGET, VolatilityRegression, fit_volatility
from forecasting.pipeline.model.windows import Scaler
from forecasting.prices.calendars import exchange_of
from forecasting.prices.leads import leads_of, region_of
from forecasting.prices.markets import sessions_like

OWN_ROWS = 500  # rows of a symbol at which its own betas and its exchange's have about the same weight
FOLDS = 5  # stretches of days; the width of each comes from betas of the others
HELD_BACK = 0.3  # share of the days, the last ones, that tests the betas
FEWEST_DAYS = 60  # held back; with fewer, there is no test
FEWEST_ROWS = 500  # of a fit

Mask = npt.NDArray[np.bool_]
History = tuple[str, pd.DataFrame]  # symbol and bars


@dataclass(frozen=True, slots=True, eq=False)
class LeadRows:
    """Rows of the symbols of one exchange with known moves of all leads and a known target."""

    symbols: npt.NDArray[np.str_]  # (rows,)
    dates: npt.NDArray[np.datetime64]  # (rows,) as_of
    targets: npt.NDArray[np.datetime64]  # (rows,) target session
    target: Array  # (rows,) standardised returns
    moves: Array  # (rows, leads)
    own: Array  # (rows,) the symbol's last standardised returns
    sizes: Array  # (rows, regressors) of the volatility regression, not standardised
    volatility: Array  # (rows,)

    def __len__(self) -> int:
        return len(self.target)

    def where(self, mask: Mask) -> "LeadRows":
        """The rows of a mask."""
        return LeadRows(*(getattr(self, name)[mask] for name in self.__slots__))


def fit_leads(histories: Iterable[History], markets: LeadMarkets, config: ForecastConfig) -> LeadModel:
    """The lead model of these histories (contract frames, see bars.py), read one at a time.

    Symbols of exchanges without leads do not count. Nothing later than the last bar of a history is used for it.
    """
    exchanges = {exchange: rows for exchange, rows in _by_exchange(histories, markets, config).items() if len(rows) >= FEWEST_ROWS}
    gains = {exchange: _held_back_gains(rows, exchange, config) for exchange, rows in exchanges.items()}
    tests = {exchange: _tested(exchange, gains) for exchange in exchanges}
    return LeadModel({exchange: _fitted(rows, exchange, tests[exchange], config) for exchange, rows in exchanges.items()})


def _by_exchange(histories: Iterable[History], markets: LeadMarkets, config: ForecastConfig) -> dict[str, LeadRows]:
    parts: dict[str, list[LeadRows]] = defaultdict(list)
    for symbol, bars in histories:
        exchange = sessions_like(exchange_of(symbol))
        if leads_of(exchange) and len(bars) > config.warm_up + FEWEST_DAYS:
            parts[exchange].append(_rows_of(symbol, exchange, bars, markets, config))
    return {exchange: _joined(each) for exchange, each in sorted(parts.items())}


def _rows_of(symbol: str, exchange: str, bars: pd.DataFrame, markets: LeadMarkets, config: ForecastConfig) -> LeadRows:
    table = compute_features(bars, config)
    count = len(table.dates) - 1  # the last row has no target yet
    rows = LeadRows(
        symbols=np.full(count, symbol),
        dates=table.dates[:-1].to_numpy(),
        targets=table.dates[1:].to_numpy(),
        target=table.target[:-1].clip(-LARGEST_TARGET, LARGEST_TARGET),
        moves=markets.standardised(exchange, table.dates[:-1]),
        own=own_returns(table, config)[:-1],
        sizes=table.features[:-1, config.regressors],
        volatility=table.volatility[:-1],
    )
    return rows.where(np.isfinite(rows.moves[:, 0]))  # a row has the moves of all leads or of none


def _joined(parts: Sequence[LeadRows]) -> LeadRows:
    return LeadRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in LeadRows.__slots__))


def _held_back_gains(rows: LeadRows, exchange: str, config: ForecastConfig) -> pd.DataFrame:
    """Of each forecast on the held back days, `date` and `gain`: its absolute error minus that of the last close, log returns.

    Nothing that these forecasts use was fitted on these days.
    """
    days = np.unique(rows.dates)
    first = days[min(round(len(days) * (1 - HELD_BACK)), len(days) - 1)]
    earlier, later = rows.where(rows.targets < first), rows.where(rows.dates >= first)
    if len(earlier) < FEWEST_ROWS:
        return pd.DataFrame({"date": later.dates[:0], "gain": later.target[:0]})
    error = np.abs(later.target - _shift(later, _betas(earlier, _sizes(earlier, config)[1])))
    return pd.DataFrame({"date": later.dates, "gain": later.volatility * (error - np.abs(later.target))})


def _tested(exchange: str, gains: Mapping[str, pd.DataFrame]) -> LeadTest:
    neighbours = [each for other, each in gains.items() if region_of(other) == region_of(exchange)]
    days = gains[exchange]["date"].nunique()
    return LeadTest(days=days, t=_t_of(gains[exchange]), region_t=_t_of(pd.concat(neighbours)))


def _t_of(gains: pd.DataFrame) -> float | None:
    """Diebold-Mariano t of the mean gain. Gains are first averaged per day, because symbols share market days."""
    daily = gains.groupby("date")["gain"].mean()
    if len(daily) < FEWEST_DAYS or daily.std() == 0:
        return None
    return float(daily.mean() / (daily.std() / np.sqrt(len(daily))))


def _fitted(rows: LeadRows, exchange: str, test: LeadTest, config: ForecastConfig) -> ExchangeLeads:
    regression, size = _sizes(rows, config)
    betas = _betas(rows, size)
    leads = leads_of(exchange)
    fitted = ExchangeLeads(
        region=region_of(exchange),
        leads=leads,
        betas=betas[""],
        width=(1.0, *(0.0 for _ in leads)),
        symbols={symbol: each for symbol, each in betas.items() if symbol},
        test=test,
        rows=len(rows),
        first=pd.Timestamp(rows.dates.min()).date(),
        through=pd.Timestamp(rows.targets.max()).date(),
    )
    return replace(fitted, width=_width(rows, size, regression, config))


def _sizes(rows: LeadRows, config: ForecastConfig) -> tuple[VolatilityRegression, Array]:
    """A volatility regression without leads, and the expected sizes of the targets, (rows,).

    It stands for the forecast that the leads will change. So the coefficients do not depend on a network.
    """
    spread = rows.sizes.std(axis=0)
    scaled = Scaler(tuple(rows.sizes.mean(axis=0).tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist())).transform(
        rows.sizes
    )
    regression = fit_volatility(scaled, rows.target, config.quantile_levels)
    return regression, regression.size(scaled)


def _betas(rows: LeadRows, size: Array) -> dict[str, tuple[float, ...]]:
    """Betas by symbol, and those of the exchange under "": least squares of the targets, weighted by their expected size.

    A symbol's are shrunk to the exchange's: ridge regression with these as the prior mean, as if they came from OWN_ROWS rows.
    """
    design, target = regressors(rows.moves, rows.own) / size[:, None], rows.target / size
    common = np.linalg.lstsq(design, target, rcond=None)[0]
    betas = {"": tuple(common.tolist())}
    prior = OWN_ROWS * np.eye(design.shape[1])
    for symbol in np.unique(rows.symbols).tolist():
        own = rows.symbols == symbol
        moment = design[own].T @ target[own] + prior @ common
        betas[symbol] = tuple(np.linalg.solve(design[own].T @ design[own] + prior, moment).tolist())
    return betas


def _shift(rows: LeadRows, betas: Mapping[str, tuple[float, ...]]) -> Array:
    each = np.array([betas.get(symbol, betas[""]) for symbol in rows.symbols.tolist()])
    shift: Array = (regressors(rows.moves, rows.own) * each).sum(axis=1)
    return shift


def _shift_by_others(rows: LeadRows, size: Array) -> Array:
    """The shift of each row, by betas from the other FOLDS - 1 stretches of days. Those from its own would leave too little."""
    days = np.unique(rows.dates)
    fold = FOLDS * np.searchsorted(days, rows.dates) // len(days)
    shift = np.zeros(len(rows))
    for each in range(FOLDS):
        mine = fold == each
        shift[mine] = _shift(rows.where(mine), _betas(rows.where(~mine), size[~mine]))
    return shift


def _width(rows: LeadRows, size: Array, regression: VolatilityRegression, config: ForecastConfig) -> tuple[float, ...]:
    """The factor on the width: linear in the sizes of the moves, then conformal.

    The factor is the size of what the leads leave unexplained, relative to that of the whole return. The conformal step makes an
    interval around the shifted median hold as many of the targets as one without leads. Betas are not those of the same days.
    """
    design = np.column_stack([np.ones(len(rows)), np.abs(clipped(rows.moves))])
    left = rows.target - _shift_by_others(rows, size)
    slopes = np.linalg.lstsq(design, np.abs(left) / size, rcond=None)[0] / (np.abs(rows.target) / size).mean()
    unit = SymbolLeads(leads=(), betas=(), width=tuple(slopes.tolist())).factor(rows.moves)
    low, high = (np.abs(regression.levels[config.quantile_levels.index(level)]) for level in config.interval_levels)
    level = config.interval_level
    spread = fit_spread(left, low * size * unit, high * size * unit, level=level)
    return tuple((slopes * spread / fit_spread(rows.target, low * size, high * size, level=level)).tolist())
