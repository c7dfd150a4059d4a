"""Middleware of this project: the library's own would cost a request of the API as much as the answer."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

from csp.constants import HEADER
from csp.utils import build_policy
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

API = ("/models/", "/health", "/metrics")
PAGES_OF_DEBUG = {HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR}  # Django's own have scripts inside the HTML


class ContentSecurityPolicy:
    """Adds the policy of the settings to every answer. It is built once; only for views with `csp_update` again."""

    sync_capable: ClassVar[bool] = True
    async_capable: ClassVar[bool] = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The response with the header."""
        response = self.get_response(request)
        if not (settings.DEBUG and response.status_code in PAGES_OF_DEBUG):
            changed = getattr(response, "_csp_update", None)
            response.headers.setdefault(HEADER, build_policy(update=changed) if changed else self.policy)
        return response


def needs_session(request: HttpRequest) -> bool:
    """Whether the request is for a page, or may come from somebody who is logged in there."""
    return "HTTP_COOKIE" in request.META or not request.path_info.startswith(API)


class OnlyWithSession(MiddlewareMixin):
    """Skips a middleware for requests that no session can belong to."""

    def __call__(self, request: HttpRequest) -> Any:
        """The response."""
        return super().__call__(request) if needs_session(request) else self.get_response(request)


class Session(OnlyWithSession, SessionMiddleware):
    """Gives the request its session. A key that cannot be one never reaches the database, which refuses some characters."""

    def process_request(self, request: HttpRequest) -> None:
        """Drops such a cookie first."""
        if not request.COOKIES.get(settings.SESSION_COOKIE_NAME, "0").isalnum():
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        super().process_request(request)


class Authentication(OnlyWithSession, AuthenticationMiddleware):
    """Gives the request the account of its session."""


class Messages(OnlyWithSession, MessageMiddleware):
    """Gives the request the messages for its next page."""
