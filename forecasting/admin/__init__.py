"""Django admin. All tables are read-only; staff make changes through actions."""

from forecasting.admin import background, findings, forecasts, jobs, symbols, trainings, upstream, versions, webhooks

__all__ = ["background", "findings", "forecasts", "jobs", "symbols", "trainings", "upstream", "versions", "webhooks"]
