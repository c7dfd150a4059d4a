"""Live monitoring: finds models that have lost performance compared with their own backtest."""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pandas as pd
from django.conf import settings
from django.db.models.functions import Now

from forecasting import registry
from forecasting.models import Forecast, ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingQuerySet, TrainingReason
from forecasting.pipeline.evaluation.drift import Watch, watch
from forecasting.pipeline.evaluation.quantiles import quantile_column
from forecasting.pipeline.serving.verified import ArtifactError

COOL_DOWN = timedelta(days=14)  # after a training for this reason, which may not have helped
WATCHED_SESSIONS = timedelta(days=365)  # of live forecasts

logger = logging.getLogger(__name__)


def lost_performance(symbols: Sequence[Symbol], *, keep: bool = False) -> dict[Symbol, str]:
    """The symbols whose live errors are larger than the model's own backtest makes plausible, each with the figures. Two queries.

    Symbols that were trained for this reason within COOL_DOWN are skipped. `keep` stores what was found as the versions' `watch`.
    """
    cooling_down = trained_for_it_lately().of(symbols)
    watched = ModelVersion.objects.active().of(symbols).exclude(symbol__in=cooling_down.values("symbol")).select_related("symbol")
    versions = list(watched)
    live = _live_forecasts(versions)
    found = {version: _watch(version, live.get(version.pk)) for version in versions}
    if keep:
        _keep(found)
    return {version.symbol: _told(version, seen) for version, seen in found.items() if version.symbol and seen and seen.lost}


def trained_for_it_lately() -> TrainingQuerySet:
    """Trainings for lost performance within COOL_DOWN."""
    return Training.objects.filter(reason=TrainingReason.PERFORMANCE_LOST, created_at__gt=Now() - COOL_DOWN)


def _live_forecasts(versions: Sequence[ModelVersion]) -> dict[int, pd.DataFrame]:
    """The scored forecasts of each version for its own symbol, oldest first, in the format of a backtest; by the version's key."""
    scored = Forecast.objects.scored().of_next_close().filter(version__in=versions, issued_at__gt=Now() - WATCHED_SESSIONS)
    rows: dict[int, list[dict[str, object]]] = {}
    columns = ("version_id", "last_close", "score__actual_close", "quantiles")
    for version, last, actual, quantiles in scored.order_by("as_of").values_list(*columns).iterator():
        named = {quantile_column(float(level)): price for level, price in quantiles.items()}
        rows.setdefault(version, []).append({"last_close": last, "actual_close": actual} | named)
    return {key: pd.DataFrame(each) for key, each in rows.items()}


def _watch(version: ModelVersion, live: pd.DataFrame | None) -> Watch | None:
    """How the version's live losses compare with its backtest; None if that is not known."""
    if live is None:
        return None
    try:
        return watch(registry.load_backtest(version), live, seed=settings.SEED)
    except ArtifactError as error:
        logger.warning("version %d is not monitored: %s", version.number, error, extra={"symbol": str(version.symbol)})
        return None


def _keep(found: Mapping[ModelVersion, Watch | None]) -> None:
    for version, seen in found.items():
        figures = seen and {"sessions": len(seen.levels), "ratio": seen.ratio, "level": float(seen.levels[-1]), "limit": seen.limit}
        version.watch = figures
    ModelVersion.objects.bulk_update(found, ["watch"])


def _told(version: ModelVersion, seen: Watch) -> str:
    """How much performance the version has lost."""
    sessions = f"in {len(seen.levels)} sessions its quantile loss was {seen.ratio:.2f} times that of its backtest"
    figures = f"Version {version.number}: {sessions} (Page's test: {seen.levels[-1]:.2f}, limit {seen.limit:.2f})."
    logger.info("performance lost: %s", figures, extra={"symbol": str(version.symbol)})
    return figures
