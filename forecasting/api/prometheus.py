"""`/metrics` for Prometheus: figures about the whole service, so only for those who may operate it."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from forecasting.api.errors import body
from forecasting.metrics import counters, enabled
from forecasting.metrics.database import Shared


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures. 404 if there are none, 401 without the right key."""
    if not enabled():
        return HttpResponse(status=404, content_type="text/plain")
    if not _may_read(request):
        return JsonResponse(body("Send the key of METRICS_KEY."), status=401, headers={"WWW-Authenticate": "Bearer"})
    registry = CollectorRegistry()
    counters.of_all_processes(registry)
    registry.register(Shared())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _may_read(request: HttpRequest) -> bool:
    """Without a key, DEBUG is on, and the service is for this machine only."""
    if not settings.METRICS_KEY:
        return True
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(key.strip().encode(), settings.METRICS_KEY.encode())
