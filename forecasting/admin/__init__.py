"""Django admin. All tables but the API keys are read-only; staff make changes through actions."""

from forecasting.admin import (
    background,
    findings,
    forecasts,
    jobs,
    keys,
    names,
    symbols,
    trainings,
    upstream,
    versions,
    webhooks,
)

__all__ = [
    "background", "findings", "forecasts", "jobs", "keys", "names", "symbols", "trainings", "upstream", "versions", "webhooks",
]  # fmt: skip
