"""Authentication of staff: HTTP Basic or a session of the admin."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request


class Basic(BasicAuthentication):
    """HTTP Basic. Refuses a NUL in the user name, which Postgres cannot store."""

    def authenticate_credentials(self, userid: str, password: str, request: Request | None = None) -> tuple[AbstractBaseUser, Any]:
        """The account; raises AuthenticationFailed."""
        if "\0" in userid:
            raise AuthenticationFailed("Invalid username/password.")
        return super().authenticate_credentials(userid, password, request)


STAFF_CREDENTIALS = (Basic, SessionAuthentication)
