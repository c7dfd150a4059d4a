"""How far the figures of a track record may be off by chance, if its outcomes are independent."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LIKELY, NEARLY_CERTAIN = 2.576, 3.891  # standard normal: 1 in 100 lies beyond the first, 1 in 10,000 beyond the second

FEWEST = 40  # pairs of losses, or days; with 20 pairs, chance exceeded its 99 % in 2.5 of 100 simulated records


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a figure is from what it should be, and how far it may be by chance (99 %), in the figure's unit."""

    size: float
    chance: float

    @property
    def is_likely_real(self) -> bool:
        """Whether chance alone would bring so large a deviation in at most 1 of 100 cases."""
        return self.size > self.chance

    @property
    def is_nearly_certain(self) -> bool:
        """The same for 1 of 10,000 cases."""
        return self.size > self.chance * NEARLY_CERTAIN / LIKELY


def deviation_of_share(share: float, *, promised: float, count: int) -> Deviation:
    """Of an observed share from the promised probability: binomial, in its normal approximation with continuity correction."""
    chance = LIKELY * math.sqrt(promised * (1 - promised) / count) + 0.5 / count
    return Deviation(size=abs(share - promised), chance=chance)


def deviation_by_days(share: float, *, promised: float, count: int, squares: float, days: int, horizon: int) -> Deviation:
    """The same if outcomes of one day depend on each other, as those of many symbols do; never less than if they did not.

    `squares`: sum over days of the squared difference between the number inside and the expected one. Windows of several sessions
    overlap, so only every `horizon`-th day counts as independent. Source: Liang and Zeger, Biometrika 73 (1986), eq. 8.
    """
    independent = deviation_of_share(share, promised=promised, count=count)
    clustered = LIKELY * math.sqrt(horizon * squares * days / max(1, days - 1)) / count
    return Deviation(size=independent.size, chance=max(independent.chance, clustered))


def chance_of_mean(shares: Sequence[float], *, days: int, horizon: int = 1) -> float:
    """How far the mean of `days` daily shares may be off by chance (99 %), by the spread of all `shares`; infinite with too few.

    Symbols move together, so days are the sample rather than forecasts. Those of a later horizon overlap: `horizon` days count as
    one.
    """
    if len(shares) < FEWEST or days < horizon:
        return math.inf
    return LIKELY * statistics.stdev(shares) * math.sqrt(horizon / days)


def excess_of_ratio(
    ratio: float, *, count: int, reference: float, squared: float, product: float, reference_squared: float
) -> Deviation:
    """By how much the ratio of two sums exceeds 1, with its standard error by the delta method; of fewer than FEWEST pairs, which
    the method needs, any excess may be chance.

    The sums, over pairs of a loss and its reference: `reference`, `squared` losses, `product` of both, `reference_squared`.
    Source: Cochran, Sampling Techniques (1977), section 2.11.
    """
    residual = squared - 2 * ratio * product + ratio**2 * reference_squared  # sum of (loss - ratio * reference) squared
    chance = LIKELY * math.sqrt(max(0.0, residual) * count / max(1, count - 1)) / reference
    return Deviation(size=ratio - 1, chance=chance if count >= FEWEST else math.inf)
