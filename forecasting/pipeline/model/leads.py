"""The lead model: what leads (markets that closed before this one opens) change in a forecast of the next close.

lead_fitting.py fits its coefficients; they are stored with the base model. All returns are in units of volatility.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.features import Array, FeatureTable
from forecasting.pipeline.model.lead_moves import LeadMove
from forecasting.prices.markets import sessions_like

LARGEST_MOVE = 8.0  # larger moves of leads and of the symbol are clipped to this
WIDTH_BOUNDS = (0.5, 2.0)  # of the factor on the width
BETTER_T, WORSE_T = -1.65, 1.0  # one-sided 5 %; a single exchange may be this much worse by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTest:
    """Test of the medians on the last days of the fit, which were held back from the betas.

    Diebold-Mariano t of the absolute error minus the last close's, averaged per day: negative if the leads help.
    """

    days: int  # held back
    t: float | None  # of the exchange; None if there are too few days
    region_t: float | None  # of all exchanges of its region together

    @property
    def passed(self) -> bool:
        """Whether the leads of this exchange are used.

        Noise hides the gain of an exchange with few symbols. So a gain in its region is enough unless its own result contradicts.
        """
        if self.t is None or self.region_t is None:
            return False
        return self.t <= BETTER_T or (self.region_t <= BETTER_T and self.t <= WORSE_T)


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolLeads:
    """Coefficients of one symbol."""

    leads: tuple[str, ...]
    betas: tuple[float, ...]  # of each lead's move, then of the symbol's own last return, on the median
    width: tuple[float, ...]  # the factor on the width without any move, then its slope in the size of each lead's move

    def apply(self, quantiles: Array, moves: Array, own: Array) -> Array:
        """Standardised quantiles (rows, levels) of the next return, given moves (rows, leads) and own last returns (rows,).

        Every quantile moves with the median, and its distance from the median is multiplied by the factor.
        """
        middle = quantiles.shape[1] // 2
        median = quantiles[:, middle : middle + 1]
        shift = regressors(moves, own) @ np.array(self.betas)
        moved: Array = median + shift[:, None] + self.factor(moves)[:, None] * (quantiles - median)
        return moved

    def factor(self, moves: Array) -> Array:
        """The factor on the width, (rows,)."""
        factor: Array = (self.width[0] + np.abs(clipped(moves)) @ np.array(self.width[1:])).clip(*WIDTH_BOUNDS)
        return factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """What a forecast knows of leads."""

    coefficients: SymbolLeads
    moves: tuple[LeadMove, ...]  # in the order of the coefficients

    def apply(self, quantiles: Array, own: Array) -> Array:
        """Standardised quantiles (1, levels) given the moves; `own`: the last return, (1,)."""
        return self.coefficients.apply(quantiles, np.array([[move.standardised for move in self.moves]]), own)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeLeads:
    """Coefficients of one exchange, and those of the symbols of its fit."""

    region: str
    leads: tuple[str, ...]
    betas: tuple[float, ...]
    width: tuple[float, ...]
    symbols: dict[str, tuple[float, ...]]  # betas by symbol, shrunk to the exchange's
    test: LeadTest
    rows: int  # of the fit
    first: date  # first `as_of` of the fit
    through: date  # last target session of the fit

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ExchangeLeads":
        """The inverse of `as_json`."""
        numbers = {name: tuple(values[name]) for name in ("leads", "betas", "width")}
        days = {name: date.fromisoformat(values[name]) for name in ("first", "through")}
        symbols = {symbol: tuple(betas) for symbol, betas in values["symbols"].items()}
        return cls(**{**values, **numbers, **days, "symbols": symbols, "test": LeadTest(**values["test"])})

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {"first": self.first.isoformat(), "through": self.through.isoformat()}

    def of(self, symbol: str) -> SymbolLeads:
        """The coefficients of a symbol; those of the exchange if the symbol was not in the fit."""
        return SymbolLeads(leads=self.leads, betas=self.symbols.get(symbol, self.betas), width=self.width)


@dataclass(frozen=True, slots=True)
class LeadModel:
    """Coefficients by exchange, of those with leads and enough bars. An exchange that has not passed the test has no effect."""

    exchanges: dict[str, ExchangeLeads]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "LeadModel":
        """The inverse of `as_json`. Raises KeyError, TypeError or ValueError."""
        return cls({exchange: ExchangeLeads.from_json(each) for exchange, each in values["exchanges"].items()})

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"exchanges": {exchange: each.as_json() for exchange, each in self.exchanges.items()}}

    def extended_by(self, other: "LeadModel") -> "LeadModel":
        """Of each exchange, the fit on more rows; a fit on few symbols is mostly noise."""
        both = {**self.exchanges, **other.exchanges}
        rows = {exchange: fitted.rows for exchange, fitted in self.exchanges.items()}
        kept = {exchange: self.exchanges[exchange] for exchange in rows if rows[exchange] > both[exchange].rows}
        return LeadModel(both | kept)

    @property
    def through(self) -> date | None:
        """The last session that any fit has seen; None without a fit."""
        return max((each.through for each in self.exchanges.values()), default=None)

    def of(self, symbol: str, exchange: str) -> SymbolLeads | None:
        """The coefficients of a symbol; None if its exchange has none or has not passed the test."""
        known = self.exchanges.get(sessions_like(exchange))
        return known.of(symbol) if known and known.test.passed else None

    def lead(self, symbol: str, exchange: str, moves: tuple[LeadMove, ...] | None) -> Lead | None:
        """What a forecast of `symbol` knows of leads; None if that is nothing, so that it has to do without.

        `moves`: as from `lead_moves`.
        """
        coefficients = self.of(symbol, exchange)
        if coefficients is None or moves is None or coefficients.leads != tuple(move.symbol for move in moves):
            return None
        return Lead(coefficients=coefficients, moves=moves)


def own_returns(table: FeatureTable, config: ForecastConfig) -> Array:
    """The symbol's return of each session in units of that day's volatility, (rows,)."""
    returns: Array = table.features[:, config.features.index("log_return")] / table.volatility
    return returns


def regressors(moves: Array, own: Array) -> Array:
    """What the median is linear in: the moves of the leads and the symbol's own last return, (rows, leads + 1)."""
    return np.column_stack([clipped(moves), clipped(own)])


def clipped(values: Array) -> Array:
    """Standardised returns, bounded by LARGEST_MOVE."""
    return values.clip(-LARGEST_MOVE, LARGEST_MOVE)
