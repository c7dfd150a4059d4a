"""Django admin. All tables but the API keys are read-only; staff make changes through actions."""

from forecasting.admin import (
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
    "background", "findings", "forecasts", "jobs", "keys", "log", "names", "symbols", "trainings", "upstream", "versions",
    "webhooks", "workers",
]  # fmt: skip
