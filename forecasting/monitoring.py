"""Live monitoring: finds models that have lost performance compared with their own backtest."""

import logging
from collections.abc import Sequence
from datetime import timedelta

import pandas as pd
from django.conf import settings
from django.db.models.functions import Now

from forecasting import registry
from forecasting.models import Forecast, ModelVersion, Symbol, Training
from forecasting.models.trainings import TrainingReason
from forecasting.pipeline.evaluation.drift import watch
from forecasting.pipeline.evaluation.quantiles import quantile_column
from forecasting.pipeline.serving.artifacts import ArtifactError

COOL_DOWN = timedelta(days=14)  # after a training for this reason, which may not have helped
WATCHED_SESSIONS = timedelta(days=365)  # of live forecasts

logger = logging.getLogger(__name__)


def lost_performance(symbols: Sequence[Symbol]) -> dict[Symbol, str]:
    """The symbols whose live errors are larger than the model's own backtest makes plausible, each with the figures. Two queries.

    Symbols that were trained for this reason within COOL_DOWN are skipped.
    """
    cooling_down = Training.objects.of(symbols).filter(reason=TrainingReason.PERFORMANCE_LOST, created_at__gt=Now() - COOL_DOWN)
    watched = ModelVersion.objects.active().of(symbols).exclude(symbol__in=cooling_down.values("symbol")).select_related("symbol")
    versions = list(watched)
    live = _live_forecasts(versions)
    losses = {version.symbol: _loss(version, live.get(version.pk)) for version in versions if version.symbol}
    return {symbol: figures for symbol, figures in losses.items() if figures}


def _live_forecasts(versions: Sequence[ModelVersion]) -> dict[int, pd.DataFrame]:
    """The scored forecasts of each version for its own symbol, oldest first, in the format of a backtest; by the version's key."""
    scored = Forecast.objects.scored().of_next_close().filter(version__in=versions, issued_at__gt=Now() - WATCHED_SESSIONS)
    rows: dict[int, list[dict[str, object]]] = {}
    columns = ("version_id", "last_close", "score__actual_close", "quantiles")
    for version, last, actual, quantiles in scored.order_by("as_of").values_list(*columns).iterator():
        named = {quantile_column(float(level)): price for level, price in quantiles.items()}
        rows.setdefault(version, []).append({"last_close": last, "actual_close": actual} | named)
    return {key: pd.DataFrame(each) for key, each in rows.items()}


def _loss(version: ModelVersion, live: pd.DataFrame | None) -> str:
    """How much performance the version has lost; empty if that is not certain."""
    if live is None:
        return ""
    try:
        found = watch(registry.load_backtest(version), live, seed=settings.SEED)
    except ArtifactError as error:
        logger.warning("version %d is not monitored: %s", version.number, error, extra={"symbol": str(version.symbol)})
        return ""
    if found is None or not found.lost:
        return ""
    sessions = f"in {len(found.levels)} sessions its quantile loss was {found.ratio:.2f} times that of its backtest"
    figures = f"Version {version.number}: {sessions} (Page's test: {found.levels[-1]:.2f}, limit {found.limit:.2f})."
    logger.info("performance lost: %s", figures, extra={"symbol": str(version.symbol)})
    return figures
