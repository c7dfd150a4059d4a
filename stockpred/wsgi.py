"""WSGI entry point, for `manage.py web` and for any other WSGI server."""

import os
from collections.abc import Iterable
from typing import Any

import django
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stockpred.settings")

BAD_REQUEST = b'{"error": "Bad Request.", "details": {}}'


class Handler(WSGIHandler):
    """Answers 400 if Django refuses a request while it reads the headers; Django itself handles that only later.

    It parses the query at once if the content type has a charset, and refuses more than DATA_UPLOAD_MAX_NUMBER_FIELDS parameters.
    """

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # type: ignore[override] # stubs narrow it
        """The response, as WSGI wants it."""
        try:
            return super().__call__(environ, start_response)
        except SuspiciousOperation:
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(BAD_REQUEST)))]
            start_response("400 Bad Request", headers)
            return [BAD_REQUEST]


django.setup(set_prefix=False)
application = Handler()
