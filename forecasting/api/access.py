"""The outermost middleware: each request's id, its line in the access log, its share in the metrics.

It is on the way of every request, so it asks the database for nothing and knows only what others have found out already.
"""

import logging
import os
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponseBase

from forecasting import tracing
from forecasting.api.callers import KNOWN, client_address
from forecasting.callers.addresses import is_trusted
from forecasting.callers.caller import Caller, caller_of
from forecasting.metrics import enabled
from forecasting.metrics.counters import count_requests

HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
PARAMETER = re.compile(r"\(\?P<(\w+)>[^()]*\)|<(?:\w+:)?(\w+)>")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # a client can invent others of 16 kB
UNMATCHED = "unmatched"  # no route, or refused before one was looked for

logger = logging.getLogger("forecasting.access")


class Access:
    """Gives a request its id, counts it, and logs who asked for what, with which result, in how many milliseconds."""

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.counted = count_requests() if enabled() else None
        self.logs = settings.ENABLE_LOGS and settings.ACCESS_LOG != "off"

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The response with the id."""
        started = time.perf_counter()
        request_id = _request_id(request)
        tracing.begin(request_id)
        response = self.get_response(request)
        response.headers[HEADER] = request_id
        seconds = time.perf_counter() - started
        method = request.method if request.method in METHODS else "other"
        if self.counted:
            self.counted.answered(method, route_of(request), response.status_code, seconds=seconds)
        if self.logs:
            _log(request, method, response.status_code, seconds=seconds)
        return response


def _request_id(request: HttpRequest) -> str:
    """The id that a trusted proxy sends, else a new one."""
    sent = request.META.get("HTTP_X_REQUEST_ID", "")
    if sent and WELL_FORMED.fullmatch(sent) and is_trusted(request.META.get("REMOTE_ADDR", "")):
        return str(sent)
    return os.urandom(16).hex()


def _log(request: HttpRequest, method: str, status: int, *, seconds: float) -> None:
    ms = round(1000 * seconds, 1)
    fields = {"caller": str(_caller(request)), "method": method, "route": route_of(request), "status": status, "ms": ms}
    logger.info("%(method)s %(route)s %(status)d %(ms)s ms %(caller)s", fields, extra=fields)


def _caller(request: HttpRequest) -> Caller:
    """The caller as far as the request was authenticated, else its address."""
    user = vars(request).get("_cached_user") or AnonymousUser()
    return vars(request).get(KNOWN) or caller_of(user, address=client_address(request))


def route_of(request: HttpRequest) -> str:
    """The route as a pattern such as `models/symbols/{pk}`: values would be too many, and may be private."""
    match = request.resolver_match
    return _readable(match.route) if match else UNMATCHED


@lru_cache(maxsize=1024)
def _readable(route: str) -> str:
    named = PARAMETER.sub(lambda found: f"{{{found[1] or found[2]}}}", route)
    return named.replace("/?$", "").replace("^", "").replace("$", "").replace("\\", "") or "/"
