"""Errors of the API: always JSON, `{"error": ..., "details": {...}}`, never HTML, SQL, a path or a traceback."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.text import capfirst
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from forecasting.callers.budgets import OverBudgetError

RETRY_AFTER = "10"  # seconds
UNAVAILABLE = "The database cannot be reached; try again shortly."
PAGES_FOR_PEOPLE = ("/admin/", "/s/", "/docs/")

logger = logging.getLogger(__name__)


def body(error: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of every error."""
    return {"error": error, "details": details or {}}


class PayloadTooLarge(APIException):
    """The body is larger than any valid request."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "payload_too_large"

    def __init__(self) -> None:
        super().__init__(f"The body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.")


class TemporarilyUnavailable(APIException):
    """The service cannot do this now; the same request may succeed later."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    wait = int(RETRY_AFTER)


class NoSuchSymbolError(ValidationError):
    """The request is valid, but there is no such symbol in service."""

    status_code = status.HTTP_404_NOT_FOUND


class TooManyRequests(APIException):
    """The caller has asked for too much; the same request may succeed after `wait` seconds."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "over_budget"

    def __init__(self, error: OverBudgetError) -> None:
        super().__init__(f"{capfirst(str(error))}.")
        self.wait = error.wait_s


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's handler with this API's error body. If the database cannot be reached, the status is 503."""
    if isinstance(error, OperationalError | InterfaceError):
        _log_out_of_reach(error)
        return Response(body(UNAVAILABLE), status=status.HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": RETRY_AFTER})
    if isinstance(error, RequestDataTooBig):
        error = PayloadTooLarge()
    if isinstance(error, OverBudgetError):
        error = TooManyRequests(error)
    response = drf_exception_handler(error, context)
    if response is not None:
        response.data = _described(error, response.data)
    return response


def _log_out_of_reach(error: Exception) -> None:
    """Logs one line; the driver's further lines are only advice."""
    lines = str(error).splitlines()
    logger.error("database out of reach: %s", lines[0] if lines else type(error).__name__)


def _described(error: Exception, data: Any) -> dict[str, Any]:
    if isinstance(error, ValidationError):
        return body("The request is invalid.", data if isinstance(data, dict) else {"request": data})
    return body(str(data.get("detail", data)))


def is_for_people(request: HttpRequest) -> bool:
    """Whether a browser shows the answer."""
    return request.path == "/" or request.path.startswith(PAGES_FOR_PEOPLE)


def error_page(status_code: int) -> Callable[..., HttpResponse]:
    """A view for `handler404` and the like. Django's own read the request's body, which may be what is wrong with it."""

    def page(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
        return HttpResponse(f"{HTTPStatus(status_code).phrase}.", status=status_code, content_type="text/plain")

    return page


class JsonErrorsMiddleware:
    """Replaces error pages of the API (unknown page, bad host, crash) with the API's error body.

    They are plain text; Django's own, if DEBUG is on, are HTML for clients that accept it.
    """

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The response; as JSON if it is an error."""
        response = self.get_response(request)
        is_page = response.headers.get("Content-Type", "").startswith("text/")
        if response.status_code < HTTPStatus.BAD_REQUEST or not is_page or is_for_people(request):
            return response
        phrase = HTTPStatus(response.status_code).phrase
        return JsonResponse(body(f"{phrase}."), status=response.status_code)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """The status is 503 on every page if the database cannot be reached."""
        if not isinstance(error, OperationalError | InterfaceError):
            return None
        _log_out_of_reach(error)
        if is_for_people(request):
            return HttpResponse(UNAVAILABLE, status=503, content_type="text/plain", headers={"Retry-After": RETRY_AFTER})
        return JsonResponse(body(UNAVAILABLE), status=503, headers={"Retry-After": RETRY_AFTER})
