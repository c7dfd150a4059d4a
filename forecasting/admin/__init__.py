"""Django admin: everything is there to be read; what a person may do are actions, and nothing is edited by hand."""

from forecasting.admin import background, findings, forecasts, jobs, symbols, trainings, upstream, versions

__all__ = ["background", "findings", "forecasts", "jobs", "symbols", "trainings", "upstream", "versions"]
