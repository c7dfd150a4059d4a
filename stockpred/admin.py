"""The admin site: its name, and the order of its index."""

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest

from forecasting.prices.catalogue import is_simulated

APPS = ("forecasting", "django_q", "auth")
MODELS = (
    "Symbol", "ModelVersion", "Forecast", "Training", "JobRun", "WorkerProcess", "Upstream", "Restatement", "Finding",
    "RequestedName",
    "Key", "Webhook", "Delivery",
)  # fmt: skip


class StockpredAdminSite(AdminSite):
    """Django's admin site with an index sorted by topic instead of alphabetically."""

    site_header = site_title = index_title = "stockpred"
    enable_nav_sidebar = False  # it would cover a quarter of a laptop's screen, and the lists need the width

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Context of every page; the header warns of simulated prices."""
        context = super().each_context(request)
        if is_simulated(settings.PRICE_SOURCE):
            context["site_header"] = f"{self.site_header} \N{EN DASH} SIMULATED PRICES"
        return context

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Forecasting first, then background tasks, then users; within forecasting, symbols first."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["models"].sort(key=lambda model: _place(MODELS, model["object_name"]))
        return sorted(apps, key=lambda app: _place(APPS, app["app_label"]))


class StockpredAdminConfig(AdminConfig):
    """Replaces `django.contrib.admin` in the installed apps."""

    default_site = "stockpred.admin.StockpredAdminSite"


def _place(order: tuple[str, ...], name: str) -> int:
    """The index in `order`; unknown names come last, in their original order."""
    return order.index(name) if name in order else len(order)
