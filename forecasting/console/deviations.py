"""How far a symbol's track record is from what was promised; see `ScoreQuerySet.track_record_with_squares`."""

from collections.abc import Mapping
from typing import Any

from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.uncertainty import Deviation, deviation_of_share, excess_of_ratio


def coverage_deviation(record: Mapping[str, Any]) -> Deviation:
    """Of the share of closes inside the interval from its level."""
    return deviation_of_share(record["coverage"], promised=ForecastConfig().interval_level, count=int(record["forecasts"]))


def loss_deviation(record: Mapping[str, Any]) -> Deviation:
    """By how much the quantile loss exceeds the reference's; `pinball_ratio` must not be None."""
    return excess_of_ratio(
        record["pinball_ratio"],
        count=int(record["judged"]),
        reference=record["reference"],
        squared=record["loss_squared"],
        product=record["loss_times_reference"],
        reference_squared=record["reference_squared"],
    )
