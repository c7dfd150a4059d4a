"""Chronological split of the rows with a target, and the standardised sliding windows of the network's input."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.model.features import Array, FeatureTable

Windows = npt.NDArray[np.float32]

OUTLIER = 8.0  # standard deviations from the mean; values beyond, such as data errors, are clipped


class UntrainableError(ValueError):
    """No model can be trained on these bars; the message names the symbol and the reason."""


class TooFewBarsError(UntrainableError):
    """There are too few bars; the message names their owner, their number and the number needed."""

    def __init__(self, subject: str, *, found: int, needed: int) -> None:
        super().__init__(f"{subject} has {found} bars; at least {needed} are needed.")


class NoRoomError(ValueError):
    """Too few sessions are unseen by the base from which a fit starts."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Dates up to which a base model has seen the targets of any symbol."""

    fitted_through: date  # session of the last target in the fit
    calibrated_through: date  # session of the last target in the calibration


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of a FeatureTable at which forecasts are made, in chronological order. A row's target is the next session.

    Parts share no target. The last target of one part is the session of the next part's first row. A model fitted on one part
    thus uses only data that is available at the first forecast of the next.
    """

    train: range
    validation: range
    test: range

    @property
    def everything(self) -> range:
        """All rows with a window and a target."""
        return range(self.train.start, self.test.stop)


@dataclass(frozen=True, slots=True)
class Scaler:
    """Mean and spread of each feature, as plain numbers."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]

    def transform(self, features: Array) -> Array:
        """Standardised features of the same shape, clipped to OUTLIER."""
        standardised: Array = (features - self.mean) / self.spread
        return standardised.clip(-OUTLIER, OUTLIER)


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Windows and targets for a fit, of one or many symbols. Overlapping windows share memory."""

    values: Windows  # (sessions, features), standardised, concatenated over symbols
    ends: npt.NDArray[np.intp]  # (n,) row of `values` at which each window ends
    target: npt.NDArray[np.float32]  # (n,)
    window: int  # sessions

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def last_sessions(self) -> Windows:
        """The last session of each window, (n, features)."""
        return self.values[self.ends]

    def batch(self, which: npt.NDArray[np.intp]) -> Windows:
        """The windows of these examples, (len(which), window, features)."""
        return _cut(self.values, self.ends[which], self.window)

    def batches(self, size: int) -> Iterator[Windows]:
        """All windows in order, in batches of one size; copies of the last window fill the last batch."""
        for first in range(0, len(self), size):
            yield self.batch(np.arange(first, first + size).clip(max=len(self) - 1))


def make_examples(table: FeatureTable, rows: range, scaler: Scaler, config: ForecastConfig) -> Examples:
    """The windows that end at `rows`, with their targets."""
    values, ends = _standardised(table, rows, scaler, config)
    return Examples(values, ends, table.target[rows.start : rows.stop].astype(np.float32), config.window)


def joined(parts: Sequence[Examples]) -> Examples:
    """The examples of several symbols as one."""
    offsets = np.cumsum([0, *(len(part.values) for part in parts[:-1])])
    return Examples(
        values=np.concatenate([part.values for part in parts]),
        ends=np.concatenate([part.ends + offset for part, offset in zip(parts, offsets, strict=True)]),
        target=np.concatenate([part.target for part in parts]),
        window=parts[0].window,
    )


def split_rows(table: FeatureTable, config: ForecastConfig, *, seen: Seen | None = None) -> Split:
    """Train, validation and test rows, in this order; their sizes follow the shares of `config`.

    `seen`: data of the base from which the fit starts; validation and test shrink to rows that are unseen. Raises NoRoomError
    if fewer than `minimum_holdout` rows remain for either.
    """
    first = config.window - 1  # the first row with a full window
    windows = len(table.dates) - 1 - first  # the last row has no target yet
    validation, test = holdouts(windows, config)
    if seen is not None:
        unfitted, uncalibrated = (_rows_from(table, day) for day in (seen.fitted_through, seen.calibrated_through))
        test = min(test, uncalibrated)
        validation = min(validation, unfitted - test)
        if min(test, validation) < config.minimum_holdout:
            raise NoRoomError(f"{unfitted} sessions after {seen.fitted_through} are too few for validation and test")
    ends = (first + windows - test - validation, first + windows - test, first + windows)
    return Split(range(first, ends[0]), range(ends[0], ends[1]), range(ends[1], ends[2]))


def split_rows_at(table: FeatureTable, config: ForecastConfig, seen: Seen) -> Split:
    """As `split_rows`, for one of many symbols with common split dates; any part may be empty."""
    first, stop = config.window - 1, max(len(table.dates) - 1, config.window - 1)
    validation, test = (
        min(max(stop - _rows_from(table, day), first), stop) for day in (seen.fitted_through, seen.calibrated_through)
    )
    return Split(range(first, validation), range(validation, test), range(test, stop))


def _rows_from(table: FeatureTable, day: date) -> int:
    """Number of rows with a target session after `day`, which need not be a session of this symbol."""
    return len(table.dates) - int(np.searchsorted(table.dates[1:].to_numpy(), np.datetime64(day), side="right")) - 1


def holdouts(windows: int, config: ForecastConfig) -> tuple[int, int]:
    """How many of so many windows, or sessions, are for validation and for test."""
    shares = (config.validation_share, config.test_share)
    validation, test = (min(max(round(windows * share), config.minimum_holdout), config.maximum_holdout) for share in shares)
    return validation, test


def make_windows(table: FeatureTable, rows: range, scaler: Scaler, config: ForecastConfig) -> Windows:
    """The standardised windows that end at each of `rows`, (len(rows), window, features)."""
    return _cut(*_standardised(table, rows, scaler, config), config.window)


def _standardised(table: FeatureTable, rows: range, scaler: Scaler, config: ForecastConfig) -> tuple[Windows, npt.NDArray[np.intp]]:
    """The sessions of the windows that end at `rows`, (sessions, features), and the position at which each window ends."""
    sessions = table.features[rows.start - config.window + 1 : rows.stop]
    return scaler.transform(sessions).astype(np.float32), np.arange(config.window - 1, len(sessions))


def _cut(values: Windows, ends: npt.NDArray[np.intp], window: int) -> Windows:
    """The windows of `values` that end at `ends`, (len(ends), window, features). All windows are cut here."""
    windows: Windows = values[ends[:, None] + np.arange(1 - window, 1)]
    return windows
