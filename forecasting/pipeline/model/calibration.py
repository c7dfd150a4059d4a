"""Calibration of a model's quantiles: the weight of its median and a factor on its spread.

conformal.py fits these numbers; they are stored with the model's files and applied to every forecast.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from forecasting.pipeline.model.features import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianTest:
    """The reason for a median's weight; see conformal.py. The defaults apply to versions that did not record it."""

    reason: str = "the reason is not recorded"
    tried: float | None = None  # weight chosen on the earlier validation days
    p: float | None = None  # p-value of "it does not beat the last close on the later days"; None if not tested
    p_by_exchange: dict[str, float] = field(default_factory=dict)  # the same per exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A correction of ordered quantiles of one return, in any unit."""

    median_weight: float  # in [0, 1]: 0 forecasts the last close, 1 the model's median
    spread: float  # factor on every quantile's distance from the median
    factor: float = 1.0  # not used by `apply`: the online calibration of live forecasts starts from it
    median_test: MedianTest = MedianTest()
    # Distance of the quantiles of TAIL_LEVEL and 1 - TAIL_LEVEL from the median, divided by that of the outermost; not used by
    # `apply`. None in versions of earlier releases, which have no tails.
    tail: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """The inverse of `asdict`; also reads the values of earlier releases."""
        return cls(**{**values, "median_test": MedianTest(**values.get("median_test", {}))})

    def apply(self, quantiles: Array) -> Array:
        """Corrected quantiles (rows, levels) in the same units; ascending if `quantiles` are."""
        median = shrunk_median(quantiles, self.median_weight)
        return median + self.spread * distances(quantiles, median)

    @property
    def median_facts(self) -> dict[str, Any]:
        """The weight of the median and its test, as JSON-compatible values."""
        return {"weight": self.median_weight, **asdict(self.median_test)}


UNCALIBRATED = Calibration(median_weight=1.0, spread=1.0)


def told_median(*, weight: float, reason: str, tried: float | None, p: float | None, p_by_exchange: Mapping[str, float]) -> str:
    """Calibration.median_facts as text, such as `0.00; tried 0.43: not significantly better ... (p 0.312; BVMF 0.620)`."""
    text = f"{weight:.2f}; tried {tried:.2f}: {reason}" if tried else f"{weight:.2f}; {reason}"
    if p is None:
        return text
    each = ", ".join(f"{exchange} {value:.3f}" for exchange, value in p_by_exchange.items())
    return f"{text} (p {p:.3f}; {each})" if each else f"{text} (p {p:.3f})"


def shrunk_median(quantiles: Array, weight: float) -> Array:
    """The median of `quantiles` (rows, levels) times `weight`, (rows, 1)."""
    middle = quantiles.shape[1] // 2
    return weight * quantiles[:, middle : middle + 1]


def distances(quantiles: Array, median: Array) -> Array:
    """Signed distances (rows, levels) from `median` (rows, 1); 0 for a quantile on the wrong side of it."""
    side = np.sign(np.arange(quantiles.shape[1]) - quantiles.shape[1] // 2)
    signed: Array = side * np.maximum(side * (quantiles - median), 0.0)
    return signed
