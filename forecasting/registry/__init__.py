"""Model versions: publishing, promotion, activation, loading for serving, and replacement of damaged versions."""

from forecasting.pipeline.serving.verified import OutOfReachError
from forecasting.registry.activation import activate, pin, replace_damaged, replacement, unpin
from forecasting.registry.base_model import (
    SHIPPED_BASE,
    base_rates,
    base_version,
    forecast_config,
    lead_model,
    live_model,
    load_base,
    register_base,
)
from forecasting.registry.files import load_backtest, load_forecaster, models_bucket, models_root, remove_scratch
from forecasting.registry.publishing import FenceLostError, publish
from forecasting.registry.retention import UNPUBLISHED_SECONDS, expire_files, orphans, sweep, sweep_folder

__all__ = [
    "SHIPPED_BASE",
    "UNPUBLISHED_SECONDS",
    "FenceLostError",
    "OutOfReachError",
    "activate",
    "base_rates",
    "base_version",
    "expire_files",
    "forecast_config",
    "lead_model",
    "live_model",
    "load_backtest",
    "load_base",
    "load_forecaster",
    "models_bucket",
    "models_root",
    "orphans",
    "pin",
    "publish",
    "register_base",
    "remove_scratch",
    "replace_damaged",
    "replacement",
    "sweep",
    "sweep_folder",
    "unpin",
]
