"""What every page for visitors has in common: the budget, errors that people can read, and headers for caches."""

import functools
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils.text import capfirst
from django.views.decorators.http import require_safe

from forecasting.api.callers import client_address
from forecasting.api.errors import RETRY_AFTER, UNAVAILABLE
from forecasting.callers.budgets import Budget, OverBudgetError, spend_one
from forecasting.callers.caller import caller_of
from forecasting.prices.catalogue import is_simulated

MAX_AGE = 60  # seconds for which a page may be shown again

View = Callable[..., HttpResponseBase]

logger = logging.getLogger(__name__)


def page(view: View) -> View:
    """A view for GET and HEAD that counts for the visitor's budget and answers errors with a page.

    Without PUBLIC_PAGES there is none.
    """

    @require_safe
    @functools.wraps(view)
    def answered(request: HttpRequest, **parts: Any) -> HttpResponseBase:
        try:
            if not settings.PUBLIC_PAGES:
                raise Http404("The operator has switched the pages for visitors off.")
            user = request.user if is_known(request) else AnonymousUser()
            spend_one(caller_of(user, address=client_address(request)), Budget.REQUESTS)
            return view(request, **parts)
        except Http404 as error:
            return problem(request, HTTPStatus.NOT_FOUND, "There is no such page", str(error))
        except OverBudgetError as error:
            text = f"{capfirst(str(error))}."
            return problem(request, HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", text, wait=str(error.wait_s))
        except (OperationalError, InterfaceError) as error:
            logger.error("database out of reach: %s", str(error).partition("\n")[0])
            return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "Not available", UNAVAILABLE, wait=RETRY_AFTER)

    return answered


def shown(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = HTTPStatus.OK, max_age: int = MAX_AGE
) -> HttpResponse:
    """A page. Caches may keep it for `max_age` seconds if it is no error; those of others only if the visitor is unknown."""
    docs = not settings.DOCS_FOR_STAFF_ONLY or (is_known(request) and getattr(request.user, "is_staff", False))
    caches = "no-store" if status != HTTPStatus.OK else f"{whose(request)}, max-age={max_age}"
    return _response(request, template, {"docs": docs} | context, status=status, headers={"Cache-Control": caches})


def problem(request: HttpRequest, status: HTTPStatus, title: str, text: str, *, wait: str = "", **context: Any) -> HttpResponse:
    """A page that says why there is nothing else. `wait`: seconds after which the same request may succeed."""
    # Without looking who it is: the database may be out of reach.
    told = {"title": title, "text": text, "docs": not settings.DOCS_FOR_STAFF_ONLY}
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": wait} if wait else {})
    return _response(request, "problem.html", told | context, status=status, headers=headers)


def whose(request: HttpRequest) -> str:
    """Which caches may keep an answer: those of everybody, or only the visitor's own."""
    return "private" if is_known(request) else "public"


def is_known(request: HttpRequest) -> bool:
    """Whether the visitor may be logged in. Others need no query, and their pages are the same for all."""
    return settings.SESSION_COOKIE_NAME in request.COOKIES


def _response(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int, headers: dict[str, str]
) -> HttpResponse:
    everywhere = {"simulated": is_simulated(settings.PRICE_SOURCE)}
    text = render_to_string(f"pages/{template}", everywhere | context, request)
    return HttpResponse(text, status=status, headers=headers)
