"""All URLs: pages for visitors, the API below /models, its documentation, the admin."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from forecasting.api.document import Document
from forecasting.api.errors import error_page
from forecasting.api.health import Health, HealthLive, HealthReady
from forecasting.api.prometheus import metrics
from forecasting.pages import views as pages

handler400, handler403, handler404, handler500 = map(error_page, (400, 403, 404, 500))

# Without OPTIONS: the page's renderer is a template, which metadata does not fit.
swagger = SpectacularSwaggerSplitView.as_view(
    url_name="swagger-json", template_name="swagger.html", http_method_names=["get", "head"]
)

urlpatterns = [
    path("models/", include("forecasting.api.urls")),  # first, because routes are tried in this order
    path("favicon.ico", RedirectView.as_view(url=static("drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png"))),
    path("", pages.front, name="front-page"),
    re_path(r"^s/(?P<ticker>[^/]+)/?$", pages.symbol, name="symbol-page"),
    path("s/<str:ticker>/<int:forecast>.png", pages.preview, name="preview"),
    path("docs/<str:name>", pages.document, name="document"),
    re_path(r"^health/?$", Health.as_view()),
    re_path(r"^health/live/?$", HealthLive.as_view()),
    re_path(r"^health/ready/?$", HealthReady.as_view()),
    re_path(r"^metrics/?$", metrics),
    re_path(r"^schema/?$", Document.as_view(), name="schema"),
    re_path(r"^swagger\.json/?$", Document.as_view(default="json"), name="swagger-json"),
    re_path(r"^swagger/?$", swagger, name="swagger"),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
]
