"""`python -m tests.api.without_database`: asks every route of a service without a database; prints the answers as JSON.

A process of its own, because the tests' process holds its connection to a database that works, and to see what it imports.
"""

import json
import os
import socket
import sys
from typing import Any

import django
from django.test import Client

SYMBOLS, SYMBOL = {"symbols": ["SAMPLE1"]}, {"symbol": "SAMPLE1"}
REQUESTS: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("post", "/models/check", SYMBOLS),
    ("post", "/models/metrics", SYMBOLS),
    ("post", "/models/predict", SYMBOLS),
    ("post", "/models/retrain", SYMBOL),
    ("get", "/models/symbols", None),
    ("get", "/models/symbols/SAMPLE1", None),
    ("get", "/models/versions", None),
    ("get", "/models/trainings", None),
    ("get", "/models/forecasts", None),
    ("post", "/models/versions/1/activate", None),
    ("post", "/models/trainings/1/cancel", None),
    ("get", "/health", None),
    ("get", "/health/live", None),
    ("get", "/health/ready", None),
    ("get", "/admin/", None),
    ("get", "/", None),
    ("get", "/s/SAMPLE1", None),
    ("get", "/swagger", None),
    ("get", "/schema", None),
    ("get", "/no/such/page", None),
)
PASSWORD = {"authorization": "Basic YW5hOmEgcGFzc3dvcmQ="}  # makes the staff routes look up the account


def closed_port() -> int:
    """A local port without a listener."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """Status, headers and text of the answer."""
    client = Client(raise_request_exception=False, headers={"host": "localhost"})
    if path == "/admin/":
        client.cookies["sessionid"] = "a" * 32  # makes the admin look up the session
    headers = PASSWORD if method == "post" and body is None else {}
    response = getattr(client, method)(path, body, content_type="application/json", headers=headers)
    return {"status": response.status_code, "headers": dict(response.headers), "text": response.content.decode()}


def main() -> None:
    """Answers by path, and the heavy libraries that the process has imported."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["DATABASE_URL"] = f"postgres://ana:secret@127.0.0.1:{closed_port()}/stocks"
    os.environ["ALLOWED_HOSTS"] = "localhost"
    django.setup()
    answers = {path: ask(method, path, body) for method, path, body in REQUESTS}
    heavy = sorted({"keras", "tensorflow"} & set(sys.modules))
    sys.stdout.write(json.dumps({"answers": answers, "heavy": heavy}))


if __name__ == "__main__":
    main()
