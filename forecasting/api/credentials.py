"""Authentication: API keys for every route; for staff also HTTP Basic and sessions of the admin."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication, BasicAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from forecasting.callers.keys import valid_key
from forecasting.models import Key

LONGEST_NAME = 150  # characters of a user name, in Django's table


class Basic(BasicAuthentication):
    """HTTP Basic. Refuses user names that no account can have and Postgres cannot store."""

    def authenticate_credentials(self, userid: str, password: str, request: Request | None = None) -> tuple[AbstractBaseUser, Any]:
        """The account; raises AuthenticationFailed."""
        if "\0" in userid or len(userid) > LONGEST_NAME:
            raise AuthenticationFailed("Invalid username/password.")
        # The middleware that answers a locked account sees Django's request, not this framework's.
        inner: Any = request and request._request
        return super().authenticate_credentials(userid, password, inner)


class ApiKey(BaseAuthentication):
    """`Authorization: Api-Key ...`. The user is the account that the key acts for, else anonymous; `request.auth` is the key."""

    scheme = "Api-Key"

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser | AnonymousUser, Key] | None:
        """None without a key; raises AuthenticationFailed for a key that is not valid, because its owner must notice."""
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != self.scheme.lower():
            return None
        if (key := valid_key(text.strip())) is None:
            raise AuthenticationFailed("The API key is wrong, revoked or expired, or its account is inactive.")
        return key.user or AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        """The scheme; with it, the status is 401 instead of 403."""
        return self.scheme


STAFF_CREDENTIALS = (Basic, ApiKey, SessionAuthentication)
