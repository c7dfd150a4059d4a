"""Forecasts of several sessions ahead: a regression of the size of the move at each horizon, fitted in closed form on many symbols.

The same regressors as for the next session serve, and the level of volatility, which falls back from its extremes over weeks. The
median is the last close. Nothing depends on the network, so a base can be given other horizons without another training.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.distribution import TAIL_LEVEL
from forecasting.pipeline.model.features import Array, FeatureTable
from forecasting.pipeline.model.volatility import LARGEST_TARGET, SMALLEST_SIZE
from forecasting.pipeline.model.windows import Scaler

SESSIONS = (5, 10, 21)  # a week, two weeks, a month
VOLATILITY_LEVEL = "log_ewma_volatility"
# Of the coefficient of the volatility's level. The level to which volatility returns differs between decades.
LEVEL_SHARE = 0.4
FOLDS = 5  # stretches of time; the levels come from residuals of stretches that a fit has not seen
PRIOR_ROWS = 20  # per session of the horizon: how many rows say that the size is the usual one, whatever the regressors

Known = tuple[FeatureTable, int]  # a symbol's table, and the last row whose close the fit may know


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """Quantiles of the log return over `sessions`: `levels` * size * volatility * sqrt(sessions)."""

    sessions: int
    coefficients: tuple[float, ...]  # of the standardised regressors
    intercept: float
    levels: tuple[float, ...]  # ascending, symmetric around 0
    # Record on a version's test sessions, from which the online calibration starts: forecasts, and closes inside the interval.
    outcomes: int = 0
    covered: int = 0

    def size(self, regressors: Array) -> Array:
        """Expected absolute return over volatility * sqrt(sessions), (rows,)."""
        return _size(regressors, np.array([*self.coefficients, self.intercept]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizons:
    """All horizons of one fit, with the regressors that they share."""

    regressors: tuple[str, ...]  # features, by name: a later release may have others beside them
    scaler: Scaler
    quantile_levels: tuple[float, ...]
    each: tuple[Horizon, ...]

    def quantiles(self, table: FeatureTable, rows: range, config: ForecastConfig) -> dict[int, Array]:
        """By horizon, the quantiles of the log return over it, (rows, levels)."""
        regressors = self.scaler.transform(_columns(table, self.regressors, config)[rows.start : rows.stop])
        volatility = table.volatility[rows.start : rows.stop]
        return {
            each.sessions: (each.size(regressors) * volatility * math.sqrt(each.sessions))[:, None] * np.array(each.levels)
            for each in self.each
        }

    @property
    def sessions(self) -> tuple[int, ...]:
        """The horizons, ascending."""
        return tuple(each.sessions for each in self.each)

    def of(self, sessions: int) -> Horizon:
        """One horizon. Raises KeyError."""
        return {each.sessions: each for each in self.each}[sessions]

    def with_records(self, records: Mapping[int, tuple[int, int]]) -> "Horizons":
        """The same, with other records: by horizon, forecasts and closes inside the interval."""
        each = (
            replace(one, outcomes=outcomes, covered=covered) for one in self.each for outcomes, covered in [records[one.sessions]]
        )
        return replace(self, each=tuple(each))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Horizons":
        """The inverse of `to_dict`. Raises KeyError or TypeError for other values."""
        return cls(
            regressors=tuple(values["regressors"]),
            scaler=Scaler(**{name: tuple(numbers) for name, numbers in values["scaler"].items()}),
            quantile_levels=tuple(values["quantile_levels"]),
            each=tuple(
                Horizon(**(each | {name: tuple(each[name]) for name in ("coefficients", "levels")})) for each in values["each"]
            ),
        )


def fit_horizons(known: Sequence[Known], config: ForecastConfig) -> Horizons | None:
    """Fits every horizon on the rows whose outcome the fit may know. None if these are too few.

    Levels are those of residuals out of sample and their mirror image: a drift of the past must not move the median. In sample they
    would be too narrow for times that differ from those of the fit.
    """
    names = (*config.features[config.regressors], VOLATILITY_LEVEL)
    if sum(max(last + 1 - max(SESSIONS), 0) for _, last in known) < config.minimum_training_windows:
        return None
    columns = [_columns(table, names, config) for table, _ in known]
    rows = np.concatenate([part[: last + 1] for part, (_, last) in zip(columns, known, strict=True)])
    spread = rows.std(axis=0)
    scaler = Scaler(tuple(rows.mean(axis=0).tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist()))
    standardised = [scaler.transform(part) for part in columns]
    levels = (TAIL_LEVEL, *config.quantile_levels, 1 - TAIL_LEVEL)
    each = tuple(_fit(standardised, known, sessions, levels) for sessions in SESSIONS)
    return Horizons(regressors=names, scaler=scaler, quantile_levels=levels, each=each)


def outcomes(table: FeatureTable, sessions: int) -> Array:
    """The log return over the next `sessions` at each row, (rows,); NaN in the last `sessions` rows."""
    log_close = np.log(table.close)
    beyond = np.full(min(sessions, len(log_close)), np.nan)
    return np.concatenate([log_close[sessions:] - log_close[:-sessions], beyond])


def _fit(standardised: Sequence[Array], known: Sequence[Known], sessions: int, levels: tuple[float, ...]) -> Horizon:
    regressors, targets, days = [], [], []
    for part, (table, last) in zip(standardised, known, strict=True):
        rows = max(last + 1 - sessions, 0)  # the last of them has its outcome at row `last`
        regressors.append(part[:rows])
        targets.append(outcomes(table, sessions)[:rows] / (table.volatility[:rows] * math.sqrt(sessions)))
        days.append(table.dates[:rows].to_numpy())
    design, target = np.concatenate(regressors), np.concatenate(targets).clip(-LARGEST_TARGET, LARGEST_TARGET)
    prior = PRIOR_ROWS * sessions
    coefficients = _coefficients(design, np.abs(target), prior)
    residual = np.empty(len(target))
    for unseen in _folds(np.concatenate(days)):
        residual[unseen] = target[unseen] / _size(design[unseen], _coefficients(design[~unseen], np.abs(target[~unseen]), prior))
    quantiles = np.quantile(np.concatenate([residual, -residual]), levels)
    symmetric = (quantiles - quantiles[::-1]) / 2
    return Horizon(
        sessions=sessions,
        coefficients=tuple(coefficients[:-1].tolist()),
        intercept=float(coefficients[-1]),
        levels=tuple(symmetric.tolist()),
    )


def _folds(days: npt.NDArray[np.datetime64]) -> Iterator[npt.NDArray[np.bool_]]:
    """Masks of the rows in each of FOLDS stretches of time with about as many days."""
    sessions = np.unique(days)
    starts = sessions[np.arange(1, FOLDS) * len(sessions) // FOLDS]
    fold = np.searchsorted(starts, days, side="right")
    return (fold == number for number in range(FOLDS))


def _coefficients(regressors: Array, sizes: Array, prior: int) -> Array:
    """The mean of the fits with and without the level of volatility, which is the last regressor; the intercept comes last."""
    without = np.insert(_least_squares(regressors[:, :-1], sizes, prior), -1, 0.0)
    return LEVEL_SHARE * _least_squares(regressors, sizes, prior) + (1 - LEVEL_SHARE) * without


def _least_squares(regressors: Array, sizes: Array, prior: int) -> Array:
    """Coefficients and intercept, shrunk by `prior` rows towards a constant size."""
    design = np.column_stack([regressors, np.ones(len(regressors))])
    shrinkage = np.diag([*[float(prior)] * regressors.shape[1], 0.0])
    return np.asarray(np.linalg.solve(design.T @ design + shrinkage, design.T @ sizes))


def _size(regressors: Array, coefficients: Array) -> Array:
    """Expected size at each row; `coefficients` end with the intercept."""
    # Regressor by regressor: a matrix product may round a row differently beside others, and no forecast may depend on its batch.
    terms = np.column_stack([np.full(len(regressors), coefficients[-1]), regressors * coefficients[:-1]])
    return np.asarray(np.maximum(np.add.accumulate(terms, axis=1)[:, -1], SMALLEST_SIZE))


def _columns(table: FeatureTable, names: Sequence[str], config: ForecastConfig) -> Array:
    features = config.features
    return table.features[:, [features.index(name) for name in names]]
