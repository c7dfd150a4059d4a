"""The app's configuration: registers its system checks."""

from django.apps import AppConfig


class ForecastingConfig(AppConfig):
    """Everything that this project does."""

    name = "forecasting"

    def ready(self) -> None:
        """Registers the checks; importing the module is what registers them."""
        from forecasting import checks  # noqa: F401, PLC0415 - apps must be loaded first
