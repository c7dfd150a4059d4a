"""Which symbols the next daily jobs retrain, why, and how close the others are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Subquery

from forecasting import monitoring
from forecasting.models import ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingReason

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Retraining:
    """A symbol with the reason that comes first; `nearness` is the share of its limit that is reached: from 1 on it is due."""

    symbol_id: int
    ticker: str
    reason: TrainingReason
    figures: str
    nearness: float

    @property
    def is_due(self) -> bool:
        """Whether the next daily job requests it."""
        return self.nearness >= 1


@dataclass(frozen=True, slots=True)
class Retrainings:
    """How many are due, and the first ones, due or not."""

    due: int
    first: Sequence[Retraining]


def next_retrainings(*, now: datetime) -> Retrainings:
    """One query. Symbols with an active training are left out; what a version is watched for was found by the last daily job."""
    found = sorted((_of(row, now=now) for row in _newest_versions()), key=lambda each: (-each.nearness, each.ticker))
    return Retrainings(due=sum(each.is_due for each in found), first=found[:SHOWN])


def _newest_versions() -> "Sequence[Mapping[str, Any]]":
    """Of each followed symbol, by the rules of the daily job, with the `watch` of the version that serves."""
    same = {"symbol": OuterRef("symbol")}
    serving = ModelVersion.objects.active().filter(**same).values("watch")[:1]
    newest = (
        ModelVersion.objects.filter(symbol__in=Symbol.objects.followed().known().trained_automatically())
        .newest_per_symbol()
        .order_by()
    )
    idle = newest.filter(~Exists(Training.objects.active().filter(**same))).with_data_revised()
    marked = idle.annotate(watched=Subquery(serving), cooling_down=Exists(monitoring.trained_for_it_lately().filter(**same)))
    return list(marked.values("symbol_id", "symbol__ticker", "trained_at", "data_revised", "watched", "cooling_down"))


def _of(row: Mapping[str, Any], *, now: datetime) -> Retraining:
    """The reason that comes first: one that is due, in the order of the daily job, else the one that is nearest to its limit."""
    age, limit = now - row["trained_at"], timedelta(days=settings.MODEL_MAX_AGE_DAYS)
    reasons = [(TrainingReason.TOO_OLD, f"{age.days} of {limit.days} days", age / limit)]
    if row["data_revised"]:
        reasons.insert(0, (TrainingReason.DATA_REVISED, "bars of its training were restated since", 1.0))
    if (watch := row["watched"]) and not row["cooling_down"]:
        sessions = f"{watch['ratio']:.2f} times in {watch['sessions']} sessions"
        told = f"{sessions}; test at {watch['level']:.1f} of {watch['limit']:.1f}"
        reasons.insert(0, (TrainingReason.PERFORMANCE_LOST, told, watch["level"] / watch["limit"]))
    first = next((reason for reason in reasons if reason[2] >= 1), max(reasons, key=lambda reason: reason[2]))
    return Retraining(row["symbol_id"], row["symbol__ticker"], *first)
