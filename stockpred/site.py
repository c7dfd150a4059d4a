"""The admin site: its name, its home, and the order of its list of tables."""

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from forecasting.console import home
from forecasting.models import Symbol, Training
from forecasting.prices.catalogue import is_simulated

APPS = ("forecasting", "django_q", "auth", "admin")
MODELS = (
    "Symbol", "ModelVersion", "Forecast", "Training", "JobRun", "WorkerProcess", "Alert", "Upstream", "Restatement", "Finding",
    "RequestedName",
    "Key", "Webhook", "Delivery",
)  # fmt: skip


# Names of the home's buttons, whose values are primary keys: each runs the action of this name on that row's list.
BUTTONS: dict[str, type[Symbol] | type[Training]] = {"retrain": Symbol, "cancel": Training}


class StockpredAdminSite(AdminSite):
    """Django's admin site with a home that shows how the service does, above the tables sorted by topic."""

    index_template = "admin/home.html"

    site_header = site_title = index_title = "stockpred"
    enable_nav_sidebar = False  # it would cover a quarter of a laptop's screen, and the lists need the width

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Context of every page; the header warns of simulated prices."""
        context = super().each_context(request)
        if is_simulated(settings.PRICE_SOURCE):
            context["site_header"] = f"{self.site_header} \N{EN DASH} SIMULATED PRICES"
        return context

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The home; a form posted to it runs an action, and shows it again."""
        if request.method == "POST":
            return self._act(request)  # type: ignore[return-value]  # a redirect
        allowed = {f"may_{name}": self._model_admin(model).has_act_permission(request) for name, model in BUTTONS.items()}
        shown = home.home(request.user, request.GET, now=timezone.now())
        return super().index(request, {"home": shown, **allowed, **(extra_context or {})})

    def _act(self, request: HttpRequest) -> HttpResponse:
        """Runs the action of the pressed button."""
        for name, model in BUTTONS.items():
            keys = [int(key) for key in request.POST.getlist(name) if key.isdecimal()]
            if keys:
                model_admin = self._model_admin(model)
                if not model_admin.has_act_permission(request):
                    raise PermissionDenied
                getattr(model_admin, name)(request, model.objects.filter(pk__in=keys))
        return HttpResponseRedirect(request.get_full_path())

    def _model_admin(self, model: type[Model]) -> Any:
        return self.get_model_admin(model)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Forecasting first, then background tasks, then users; within forecasting, symbols first."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["models"].sort(key=lambda model: _place(MODELS, model["object_name"]))
        return sorted(apps, key=lambda app: _place(APPS, app["app_label"]))


def _place(order: tuple[str, ...], name: str) -> int:
    """The index in `order`; unknown names come last, in their original order."""
    return order.index(name) if name in order else len(order)
