"""Django admin. All tables but the API keys are read-only; staff make changes through actions."""

from forecasting.admin import (
    alerts,
    background,
    findings,
    forecasts,
    jobs,
    keys,
    log,
    names,
    symbols,
    trainings,
    upstream,
    versions,
    webhooks,
    workers,
)

__all__ = [
    "alerts", "background", "findings", "forecasts", "jobs", "keys", "log", "names", "symbols", "trainings", "upstream", "versions",
    "webhooks", "workers",
]  # fmt: skip
