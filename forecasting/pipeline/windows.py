"""Chronological split of the rows that have a target, and the standardised sliding windows that the network sees."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.features import Array, FeatureTable

Windows = npt.NDArray[np.float32]


class UntrainableError(ValueError):
    """These bars cannot give a model; the message says whose they are and what is wrong with them."""


class TooFewBarsError(UntrainableError):
    """There are too few bars; the message says of what, how many there are and how many are needed."""

    def __init__(self, subject: str, *, found: int, needed: int) -> None:
        super().__init__(f"{subject} has {found} bars; at least {needed} are needed.")


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of a FeatureTable at which forecasts are made, in time order; each row's target is the session after it.

    No target is shared, and the last target of one part is the session of the next part's first row: a model fitted on one
    part knows nothing that was unknown when the next part's first forecast is due.
    """

    train: range
    validation: range
    test: range

    @property
    def everything(self) -> range:
        """All rows that have a window and a target."""
        return range(self.train.start, self.test.stop)


@dataclass(frozen=True, slots=True)
class Scaler:
    """Mean and spread of each feature, as plain numbers."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]

    def transform(self, features: Array) -> Array:
        """Standardised features, same shape."""
        standardised: Array = (features - self.mean) / self.spread
        return standardised


def split_rows(table: FeatureTable, config: ForecastConfig) -> Split:
    """Train, validation and test rows, the last ones being the test rows; sizes follow the shares of `config`."""
    first = config.window - 1  # the first row with a whole window behind it
    windows = len(table.dates) - 1 - first  # the last row has no target yet
    validation = _holdout(windows, config.validation_share, config)
    test = _holdout(windows, config.test_share, config)
    ends = (first + windows - test - validation, first + windows - test, first + windows)
    return Split(range(first, ends[0]), range(ends[0], ends[1]), range(ends[1], ends[2]))


def _holdout(windows: int, share: float, config: ForecastConfig) -> int:
    return min(max(round(windows * share), config.minimum_holdout), config.maximum_holdout)


def make_windows(table: FeatureTable, rows: range, scaler: Scaler, config: ForecastConfig) -> Windows:
    """The `config.window` sessions up to and including each of `rows`, standardised: (len(rows), window, 7)."""
    features = scaler.transform(table.features[rows.start - config.window + 1 : rows.stop])
    views = np.lib.stride_tricks.sliding_window_view(features, config.window, axis=0)  # (rows, 7, window)
    return np.ascontiguousarray(views.transpose(0, 2, 1), dtype=np.float32)
