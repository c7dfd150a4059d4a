"""The API's routes. A trailing slash is optional."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from forecasting.api import views


class OptionalSlashRouter(SimpleRouter):
    """Routes with an optional trailing slash."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


router = OptionalSlashRouter()
router.register("symbols", views.SymbolViewSet, basename="symbol")
router.register("versions", views.VersionViewSet, basename="version")
router.register("trainings", views.TrainingViewSet, basename="training")
router.register("forecasts", views.ForecastViewSet, basename="forecast")
router.register("webhooks", views.WebhookViewSet, basename="webhook")
router.register("findings", views.FindingViewSet, basename="finding")
router.register("", views.ModelViewSet, basename="model")

urlpatterns = [path("", include(router.urls))]
