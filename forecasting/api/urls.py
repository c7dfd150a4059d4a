"""The API's routes. A trailing slash is optional."""

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from forecasting.api import chart, lists, views
from forecasting.models.symbols import TICKER_IN_ANY_CASE


class OptionalSlashRouter(SimpleRouter):
    """Routes with an optional trailing slash."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


router = OptionalSlashRouter()
router.register("", views.ModelViewSet, basename="model")  # first, because routes are tried in this order
router.register("symbols", lists.SymbolViewSet, basename="symbol")
router.register("versions", lists.VersionViewSet, basename="version")
router.register("trainings", lists.TrainingViewSet, basename="training")
router.register("forecasts", lists.ForecastViewSet, basename="forecast")
router.register("webhooks", lists.WebhookViewSet, basename="webhook")
router.register("findings", lists.FindingViewSet, basename="finding")

urlpatterns = [
    *router.urls,
    re_path(rf"^symbols/(?P<ticker>{TICKER_IN_ANY_CASE})/chart/?$", chart.ChartRoute.as_view(), name="chart"),
]
