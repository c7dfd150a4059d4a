"""The app's configuration: registers its system checks."""

from django.apps import AppConfig


class ForecastingConfig(AppConfig):
    """The only app of this project."""

    name = "forecasting"

    def ready(self) -> None:
        """Registers the checks by importing their module."""
        from forecasting import checks  # noqa: F401, PLC0415 - apps must be loaded first
