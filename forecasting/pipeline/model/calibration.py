"""A correction of a model's quantiles: how far its median is trusted and how wide the rest is spread.

Plain numbers that travel with the artifact, learnt by conformal.py, applied to every forecast.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from forecasting.pipeline.model.features import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianTest:
    """Why a median has the weight that it has; see conformal.py. The defaults are those of versions that did not record it."""

    reason: str = "how that was decided is not recorded"
    tried: float | None = None  # the weight that the earlier validation days chose
    p: float | None = None  # of the hypothesis that it does not beat the last close on the later ones; None if not tested
    p_by_exchange: dict[str, float] = field(default_factory=dict)  # the same, of each exchange's symbols alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A correction of ordered quantiles of one return, in any unit."""

    median_weight: float  # in [0, 1]: 0 forecasts the last close, 1 the network's own median
    spread: float  # factor on every quantile's distance from the median
    factor: float = 1.0  # of the first live forecast's spread: where the online calibration stood after the test rows
    median_test: MedianTest = MedianTest()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Calibration":
        """The calibration of which `asdict` made this, in this release or an earlier one."""
        return cls(**{**values, "median_test": MedianTest(**values.get("median_test", {}))})

    def apply(self, quantiles: Array) -> Array:
        """Corrected (rows, levels) in the same units, ascending as long as `quantiles` are."""
        median = shrunk_median(quantiles, self.median_weight)
        return median + self.spread * distances(quantiles, median)

    @property
    def median_facts(self) -> dict[str, Any]:
        """The weight of the median and its test, as JSON can hold them."""
        return {"weight": self.median_weight, **asdict(self.median_test)}


UNCALIBRATED = Calibration(median_weight=1.0, spread=1.0)


def told_median(*, weight: float, reason: str, tried: float | None, p: float | None, p_by_exchange: Mapping[str, float]) -> str:
    """Calibration.median_facts in words, such as `0.00; tried 0.43: not significantly better ... (p 0.312; BVMF 0.620)`."""
    text = f"{weight:.2f}; tried {tried:.2f}: {reason}" if tried else f"{weight:.2f}; {reason}"
    if p is None:
        return text
    each = ", ".join(f"{exchange} {value:.3f}" for exchange, value in p_by_exchange.items())
    return f"{text} (p {p:.3f}; {each})" if each else f"{text} (p {p:.3f})"


def probability_up(quantiles: Array, levels: Array) -> float:
    """Probability of a positive return, from the quantiles (levels,) of one forecast and straight lines between them.

    Never outside the outermost levels. Quantiles that coincide at zero are read from both sides and averaged.
    """
    below_or_at = np.interp(0.0, quantiles, levels)
    above_or_at = np.interp(0.0, -quantiles[::-1], 1 - levels[::-1])
    return float((1 - below_or_at + above_or_at) / 2)


def shrunk_median(quantiles: Array, weight: float) -> Array:
    """The weighted median of quantiles (rows, levels), (rows, 1)."""
    middle = quantiles.shape[1] // 2
    return weight * quantiles[:, middle : middle + 1]


def distances(quantiles: Array, median: Array) -> Array:
    """Signed distances (rows, levels) from `median` (rows, 1); a quantile on the wrong side of it is moved onto it."""
    side = np.sign(np.arange(quantiles.shape[1]) - quantiles.shape[1] // 2)
    signed: Array = side * np.maximum(side * (quantiles - median), 0.0)
    return signed
