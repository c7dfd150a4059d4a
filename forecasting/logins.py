"""Limits of logins: failures are counted in the database, and checked before a password is hashed.

An account is locked only for the address that guessed, so nobody can lock out its owner from elsewhere. Whoever guesses many
accounts from one address is locked out of all of them.
"""

from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from django.conf import settings
from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from forecasting.api.callers import client_address
from forecasting.api.errors import PAGES_FOR_PEOPLE, body
from forecasting.callers.addresses import UNKNOWN

ACCOUNTS_PER_ADDRESS = 4  # an address may fail so many times as often as one account from that address

LOCKED = "Too many failed logins from this address. Try again in {minutes} minutes."


class LoginLimits(AxesDatabaseHandler):
    """Counts the failures of each account and address together, and of each address."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """The failures to compare with the limit of one account and address."""
        account, address = (
            attempts.aggregate(failures=Sum("failures_since_start", default=0))["failures"]
            for attempts in self.get_user_attempts(request, credentials)
        )
        return int(max(account, address // ACCOUNTS_PER_ADDRESS))

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        """Stores no headers: they may hold characters that Postgres refuses, and would need a row for each browser's name."""
        if request is not None:
            request.axes_user_agent = request.axes_http_accept = ""  # type: ignore[attr-defined]
        super().user_login_failed(sender, credentials, request, **kwargs)

    def reset_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Forgets the failures of this account only: a login must not clear guesses at other accounts."""
        account, _ = self.filter_user_attempts(request, credentials)
        deleted, _ = account.delete()
        return int(deleted)


def login_address(request: HttpRequest) -> str | None:
    """The address that a login counts for; of IPv6 only the network, and None if the server names no address."""
    address = client_address(request).partition("/")[0]
    return None if address == UNKNOWN else address


def locked_out(request: HttpRequest, *_: Any) -> HttpResponse:
    """The answer to a login that is refused without a look at the password."""
    text = LOCKED.format(minutes=settings.LOGIN_LOCK_MINUTES)
    if request.path.startswith(PAGES_FOR_PEOPLE):
        context = admin.site.each_context(request) | {"title": "Too many failed logins", "text": text}
        response = render(request, "admin/locked_out.html", context, status=429)
    else:
        response = JsonResponse(body(text), status=429)
    response["Retry-After"] = str(60 * settings.LOGIN_LOCK_MINUTES)
    return response
