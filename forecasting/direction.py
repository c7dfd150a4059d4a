"""What a forecast says of direction: the base rate of its symbol's class, and the probabilities of moves and losses."""

from collections.abc import Iterable, Mapping

from forecasting import registry
from forecasting.models import Forecast
from forecasting.models.forecasts import Basis
from forecasting.pipeline.model.distribution import PriceDistribution

RISKS = (1, 2, 5)  # percent below and above the last close
VALUES_AT_RISK = (95, 99)  # percent: the loss that is not exceeded with this probability


def use_base_rates(rows: Iterable[Forecast]) -> None:
    """Sets the probability of a rise and the risk of unsaved forecasts by the base rate of their symbol's class.

    Only of those of the next close that say nothing of its direction, and whose class has passed its test. Versions of symbols
    whose own bars speak against that rate do without it.
    """
    silent = [row for row in rows if row.horizon == 1 and row.basis == Basis.CLOSE and row.point_forecast == "last_close"]
    rates = registry.base_rates() if silent else None
    for row in silent:
        known = rates.of(row.symbol.rate_class) if rates else None
        if known and not row.version.metrics.get("against_base_rate"):
            row.probability_up = known.rate
            row.risk = risk(row.quantiles, last_close=row.last_close, upper_half=known.rate)


def risk(quantiles: Mapping[str, float], *, last_close: float, upper_half: float = 0.5) -> dict[str, dict[str, float]] | None:
    """The ledger's `risk`; None if the version does not know the tails. `upper_half`: see PriceDistribution."""
    distribution = PriceDistribution(quantiles, last_close=last_close, upper_half=upper_half)
    if not distribution.has_tails:
        return None
    return {
        "below": {str(percent): distribution.probability_of_fall(percent) for percent in RISKS},
        "above": {str(percent): distribution.probability_of_rise(percent) for percent in RISKS},
        "value_at_risk": {str(percent): distribution.value_at_risk(percent) for percent in VALUES_AT_RISK},
    }
