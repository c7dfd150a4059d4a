"""Errors: always JSON with one schema, never HTML, SQL, a path or a traceback."""

import json
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from pytest_django import Settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from forecasting.api.negotiation import AlwaysJson
from forecasting.models import Symbol, Training
from stockpred.wsgi import application
from tests.api.conftest import checked

pytestmark = pytest.mark.django_db

ROUTES = ("check", "metrics", "predict", "retrain")
SECRET = "/srv/secret.py: SELECT password FROM users"  # noqa: S105 - must not appear in any answer
UNAVAILABLE = {"error": "The database cannot be reached; try again shortly.", "details": {}}


def crash(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(SECRET)


def lose_database(request: HttpRequest) -> HttpResponse:
    raise OperationalError(*request.GET.getlist("text"))


class CrashOfTheApi(APIView):
    content_negotiation_class = AlwaysJson

    def get(self, request: Request) -> Response:
        raise RuntimeError(SECRET)


class LossOfDatabaseInTheApi(APIView):
    content_negotiation_class = AlwaysJson

    def get(self, request: Request) -> Response:
        raise OperationalError(*request.GET.getlist("text"))


urlpatterns = [
    path("", include("stockpred.urls")),
    path("crash", crash),
    path("models/crash", CrashOfTheApi.as_view()),
    path("loss", lose_database),
    path("models/loss", LossOfDatabaseInTheApi.as_view()),
]


@pytest.fixture
def lenient() -> Client:
    """A client that receives the error response of a crash instead of the exception."""
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "The body is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."),
        (b"symbols=SAMPLE1", "The body is not JSON: Expecting value: line 1 column 1 (char 0)."),
        (b'{"symbols": [NaN]}', "The body is not JSON: Out of range float values are not JSON compliant: 'NaN'."),
        (b'{"symbols": -Infinity}', "The body is not JSON: Out of range float values are not JSON compliant: '-Infinity'."),
        (b'{"symbols": "\xff"}', "The body is not JSON: 'utf-8' codec can't decode byte 0xff in position 13: invalid start byte."),
        (b"[" * 1500, "The JSON is nested too deeply."),
        (b'{"a":' * 1500, "The JSON is nested too deeply."),
        (b"[" * 60_000, "The JSON is nested too deeply."),
    ],
    ids=["cut off", "a form", "NaN", "infinity", "invalid UTF-8", "nested lists", "nested objects", "very deep lists"],
)
def test_a_body_that_is_not_json_is_refused(lenient: Client, route: str, body: bytes, error: str) -> None:
    response = lenient.generic("POST", f"/models/{route}", body, content_type="application/json")
    answer = checked(response, f"/models/{route}", status=400, method="post")
    assert answer == {"error": error, "details": {}}


@pytest.mark.parametrize("route", ROUTES)
def test_a_number_with_too_many_digits_is_refused(lenient: Client, route: str) -> None:
    response = lenient.generic("POST", f"/models/{route}", b"1" * 5000, content_type="application/json")
    assert (response.status_code, set(response.json())) == (400, {"error", "details"})


@pytest.mark.parametrize("route", ROUTES)
def test_an_empty_body_is_refused_with_the_missing_field(lenient: Client, route: str) -> None:
    response = lenient.generic("POST", f"/models/{route}", b"", content_type="application/json")
    answer = checked(response, f"/models/{route}", status=400, method="post")
    field = "symbol" if route == "retrain" else "symbols"
    assert answer == {"error": "The request is invalid.", "details": {field: ["This field is required."]}}


@pytest.mark.parametrize("route", ROUTES)
def test_a_body_that_is_too_large_is_refused(lenient: Client, route: str) -> None:
    response = lenient.generic("POST", f"/models/{route}", b" " * 65_537, content_type="application/json")
    answer = checked(response, f"/models/{route}", status=413, method="post")
    assert answer == {"error": "The body is larger than 65536 bytes.", "details": {}}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_a_body_of_another_type_is_refused(lenient: Client, route: str, content_type: str) -> None:
    response = lenient.generic("POST", f"/models/{route}", b'{"symbols": ["SAMPLE1"]}', content_type=content_type)
    answer = checked(response, f"/models/{route}", status=415, method="post")
    assert answer == {"error": f'Unsupported media type "{content_type}" in request.', "details": {}}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_another_method_is_refused(lenient: Client, route: str, method: str) -> None:
    response = getattr(lenient, method)(f"/models/{route}")
    answer = checked(response, f"/models/{route}", status=405, method="post")
    assert answer == {"error": f'Method "{method.upper()}" not allowed.', "details": {}}
    assert response.headers["Allow"] == ("GET, POST, HEAD, OPTIONS" if route == "predict" else "POST, OPTIONS")


@pytest.mark.parametrize("accepted", ["text/html", "application/xml", "image/*;q=0.1", "nonsense"])
def test_the_answer_is_json_whatever_the_client_accepts(client: APIClient, accepted: str) -> None:
    response = client.post("/models/check", {"symbols": []}, format="json", headers={"accept": accepted})
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/json")


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "address",
    ["/no/such/page", "/models", "/models/", "/models/checks", "/models/symbols/A%00", "/models/symbols/A%0A", "/administrator"],
)
def test_an_unknown_page_is_not_found(lenient: Client, settings: Settings, debug: bool, address: str) -> None:
    settings.DEBUG = debug
    response = lenient.get(address)
    assert (response.status_code, response.json()) == (404, {"error": "Not Found.", "details": {}})


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_a_query_with_thousands_of_parameters_is_refused(settings: Settings, content_type: str) -> None:
    settings.ANONYMOUS_REQUESTS_PER_MINUTE = 0  # else the budget would use the connection that this request closes
    environ: dict[str, Any] = {"PATH_INFO": "/models/symbols", "QUERY_STRING": "a=1&" * 1200, "CONTENT_TYPE": content_type}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    pieces = application(environ, lambda status, headers: statuses.append(status))
    assert (statuses, json.loads(b"".join(pieces))) == (["400 Bad Request"], {"error": "Bad Request.", "details": {}})


@pytest.mark.parametrize("address", ["/no/such/page", "/admin/no/such/page/"])
@pytest.mark.parametrize("body", [b"[" * 100, b"[" * 70_000], ids=["malformed", "too large"])
def test_a_form_that_cannot_be_read_breaks_no_error_page(address: str, body: bytes) -> None:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "a" * 32
    response = client.generic("POST", address, body, content_type="multipart/form-data; boundary=x")
    assert response.status_code < 500


@pytest.mark.parametrize("name", ["versions", "trainings", "forecasts"])
@pytest.mark.parametrize("key", ["abc", "-1", "1%00", "%F0%9F%98%80"])
def test_an_invalid_id_is_not_found(lenient: Client, name: str, key: str) -> None:
    response = lenient.get(f"/models/{name}/{key}")
    assert (response.status_code, set(response.json())) == (404, {"error", "details"})


@pytest.mark.parametrize("debug", [False, True])
def test_an_unknown_host_is_refused(lenient: Client, settings: Settings, debug: bool) -> None:
    settings.DEBUG = debug
    response = lenient.get("/models/symbols", headers={"host": "elsewhere.example"})
    assert (response.status_code, response.json()) == (400, {"error": "Bad Request.", "details": {}})


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("address", ["/crash", "/models/crash"])
@pytest.mark.parametrize("accepted", ["*/*", "text/html", "application/json"])
def test_a_crash_reveals_nothing(lenient: Client, settings: Settings, debug: bool, address: str, accepted: str) -> None:
    settings.DEBUG = debug
    response = lenient.get(address, headers={"accept": accepted})
    assert (response.status_code, response.json()) == (500, {"error": "Internal Server Error.", "details": {}})


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("address", ["/loss", "/models/loss"])
@pytest.mark.parametrize(
    ("text", "logged"), [(["connection failed\n\tIs the server running?"], "connection failed"), ([], "OperationalError")]
)
def test_losing_the_database_logs_one_line(
    lenient: Client, caplog: pytest.LogCaptureFixture, address: str, text: list[str], logged: str
) -> None:
    assert lenient.get(address, {"text": text}).status_code == 503
    ours = [record.getMessage() for record in caplog.records if record.name == "forecasting.api.errors"]
    assert ours == [f"database out of reach: {logged}"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_refused_request_starts_nothing(lenient: Client, route: str) -> None:
    lenient.generic("POST", f"/models/{route}", b'{"symbols": ["SAMPLE1"], "symbol": "SAMPLE1"', content_type="application/json")
    lenient.post(f"/models/{route}", '{"symbols": ["SAMPLE1"], "symbol": "SAMPLE1"}', content_type="text/plain")
    assert not Symbol.objects.exists()
    assert not Training.objects.exists()


def test_without_a_database_every_route_says_when_to_try_again(without_database: dict[str, Any]) -> None:
    away = {address: each for address, each in without_database["answers"].items() if each["status"] == 503}
    assert list(away) == [
        "/models/check",
        "/models/metrics",
        "/models/predict",
        "/models/retrain",
        "/models/symbols",
        "/models/symbols/SAMPLE1",
        "/models/versions",
        "/models/trainings",
        "/models/forecasts",
        "/models/versions/1/activate",
        "/models/trainings/1/cancel",
        "/health",
        "/health/ready",
        "/admin/",
        "/",
        "/s/SAMPLE1",
    ]
    assert {each["headers"]["Retry-After"] for each in away.values()} == {"10"}
    assert away.pop("/admin/")["text"] == UNAVAILABLE["error"]
    assert all("<h1>Not available</h1>" in away.pop(page)["text"] for page in ("/", "/s/SAMPLE1"))
    del away["/health/ready"]  # see test_health.py
    assert [json.loads(each["text"]) for each in away.values()] == [UNAVAILABLE] * len(away)


def test_without_a_database_the_documentation_is_served(without_database: dict[str, Any]) -> None:
    answers = without_database["answers"]
    assert [answers[address]["status"] for address in ("/swagger", "/schema", "/no/such/page")] == [200, 200, 404]


def test_no_route_imports_tensorflow(without_database: dict[str, Any]) -> None:
    assert without_database["heavy"] == []
