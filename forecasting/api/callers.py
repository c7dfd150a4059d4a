"""Who sends a request, and whether its budget allows it."""

from functools import partial

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from forecasting.callers import caller
from forecasting.callers.addresses import address_of
from forecasting.callers.budgets import Budget, Charged, spend_one
from forecasting.models import Key
from forecasting.models.prepared import Find, Row

KNOWN = "known_caller"  # attribute of Django's request, which the middleware sees as well
COUNTED = "is_counted"  # attribute of the API's request


def client_address(request: HttpRequest | Request) -> str:
    """The address that the request counts for."""
    return address_of(request.META.get("REMOTE_ADDR", ""), forwarded=request.META.get("HTTP_X_FORWARDED_FOR", ""))


def caller_of(request: Request) -> caller.Caller:
    """The caller of an authenticated request."""
    known: caller.Caller | None = vars(request._request).get(KNOWN)
    if known is None:
        key = request.auth if isinstance(request.auth, Key) else None  # other credentials may leave a token of their own
        known = vars(request._request)[KNOWN] = caller.caller_of(request.user, key=key, address=client_address(request))
    return known


def charge(request: Request) -> None:
    """Counts the request, unless it has been counted. Raises OverBudgetError."""
    if not vars(request).get(COUNTED):
        vars(request)[COUNTED] = True
        spend_one(caller_of(request), Budget.REQUESTS)


def charging(request: Request, query: Charged[Row]) -> Find[Row]:
    """The query, which counts the request as well, for a single use."""
    vars(request)[COUNTED] = True
    return partial(query.rows, caller=caller_of(request))


class RequestBudget(BaseThrottle):
    """Counts each request, whatever becomes of it."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Always true; raises OverBudgetError instead, which says why. An action in `charging` counts the request itself."""
        if getattr(view, "action", None) not in getattr(view, "charging", ()):
            charge(request)
        return True
