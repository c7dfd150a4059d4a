"""Authentication of staff: HTTP Basic or a session of the admin."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

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


STAFF_CREDENTIALS = (Basic, SessionAuthentication)
