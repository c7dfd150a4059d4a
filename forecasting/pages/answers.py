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
from django.shortcuts import render
from django.utils.cache import patch_cache_control
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
    common = {"simulated": is_simulated(settings.PRICE_SOURCE), "docs": docs}
    response = render(request, f"pages/{template}", common | context, status=status)
    if status == HTTPStatus.OK:
        patch_cache_control(response, max_age=max_age, **({"private": True} if is_known(request) else {"public": True}))
    else:
        patch_cache_control(response, no_store=True)
    return response


def problem(request: HttpRequest, status: HTTPStatus, title: str, text: str, *, wait: str = "", **context: Any) -> HttpResponse:
    """A page that says why there is nothing else. `wait`: seconds after which the same request may succeed."""
    response = shown(request, "problem.html", {"title": title, "text": text, "docs": False} | context, status=status)
    if wait:
        response.headers["Retry-After"] = wait
    return response


def is_known(request: HttpRequest) -> bool:
    """Whether the visitor may be logged in. Others need no query, and their pages are the same for all."""
    return settings.SESSION_COOKIE_NAME in request.COOKIES
