"""The app's configuration: registers its system checks and the receivers of signals."""

from django.apps import AppConfig
from django.conf import settings
from django.core.signals import request_finished
from django.db.models.signals import post_migrate, post_save, pre_delete


class ForecastingConfig(AppConfig):
    """The only app of this project."""

    name = "forecasting"

    def ready(self) -> None:
        """Registers the checks by importing their module, and the receivers."""
        from django_q import signals  # noqa: PLC0415 - apps must be loaded first

        from forecasting import checks, tracing  # noqa: F401, PLC0415
        from forecasting.accounts import keep_log  # noqa: PLC0415
        from forecasting.groups import ensure_groups  # noqa: PLC0415
        from forecasting.models.outcomes import keep_outcome  # noqa: PLC0415

        post_migrate.connect(ensure_groups, sender=self)
        post_save.connect(keep_outcome, sender="django_q.Task")
        request_finished.connect(tracing.end_request)
        signals.pre_enqueue.connect(tracing.mark_task)
        signals.pre_execute.connect(tracing.begin_task)
        signals.post_execute_in_worker.connect(tracing.end_task)
        pre_delete.connect(keep_log, sender=settings.AUTH_USER_MODEL)
