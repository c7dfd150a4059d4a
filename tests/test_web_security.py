"""What browsers are told: HTTPS only, and pages that load everything from this server."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tests.factories import make_symbol

POLICY = {"default-src 'self'", "object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"}


@pytest.fixture
def https_only(settings: Settings) -> None:
    """The settings of a service for others."""
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 31_536_000
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    ["/health", "/swagger", "/schema", "/models/symbols", "/models/check", "/admin/login/", "/no/such/page", "/favicon.ico", "/"],
)
def test_every_answer_has_the_policy(client: Client, address: str) -> None:
    policy = set(client.get(address)["Content-Security-Policy"].split("; "))
    assert policy >= POLICY
    assert not any("unsafe" in directive for directive in policy)


def test_a_static_file_has_the_policy(client: Client, db: None) -> None:
    answer = client.get("/static/forecasting/admin.css")
    answer.close()
    assert "Content-Security-Policy" in answer


def test_only_a_page_with_a_chart_may_have_styles_inside(admin_client: Client) -> None:
    symbol = make_symbol()
    with_chart, without = (admin_client.get(f"/admin/forecasting/symbol/{rest}") for rest in (f"{symbol.pk}/change/", ""))
    policy = set(with_chart["Content-Security-Policy"].split("; "))
    assert policy >= POLICY | {"style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:"}
    assert "unsafe" not in without["Content-Security-Policy"]


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "status"), [("bokeh.min.js", 200), ("bokeh-gl.min.js", 404)])
def test_only_the_needed_scripts_of_bokeh_are_served(client: Client, name: str, status: int) -> None:
    answer = client.get(f"/static/bokeh/{name}")
    answer.close()
    assert answer.status_code == status


def test_a_redirect_to_https_has_the_policy(client: Client, https_only: None) -> None:
    assert "Content-Security-Policy" in client.get("/swagger")


@pytest.mark.parametrize("address", ["/swagger", "/admin/", "/models/symbols"])
def test_plain_http_is_sent_to_https(client: Client, https_only: None, address: str) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer["Location"]) == (301, f"https://testserver{address}")


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "status"), [("/health", 200), ("/health/live", 200), ("/health/ready", 503)])
def test_health_checks_speak_plain_http(client: Client, https_only: None, address: str, status: int) -> None:
    assert client.get(address, headers={"Host": "127.0.0.1:8000"}).status_code == status


def test_a_request_that_the_proxy_calls_https_is_answered(client: Client, https_only: None) -> None:
    answer = client.get("/swagger", headers={"X-Forwarded-Proto": "https"})
    assert answer.status_code == 200
    assert answer["Strict-Transport-Security"] == "max-age=31536000"


def test_the_header_of_a_proxy_does_not_count_unless_it_is_named(client: Client, https_only: None, settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = None
    assert client.get("/swagger", headers={"X-Forwarded-Proto": "https"}).status_code == 301


@pytest.mark.parametrize("address", ["/swagger", "/schema", "/swagger.json"])
def test_the_documentation_can_be_for_staff_only(client: Client, db: None, settings: Settings, address: str) -> None:
    settings.DOCS_FOR_STAFF_ONLY = True
    assert client.get(address).status_code == 401
    client.force_login(User.objects.create_user("ben"))
    assert client.get(address).status_code == 403
    client.force_login(User.objects.create_user("ana", is_staff=True))
    assert client.get(address).status_code == 200


@pytest.mark.django_db
def test_a_route_of_the_api_reads_the_session_of_a_browser(client: Client, django_user_model: type[User]) -> None:
    client.force_login(django_user_model.objects.create_superuser("ana"))
    assert client.get("/models/webhooks").status_code == 200
    client.logout()
    assert client.get("/models/webhooks").status_code == 401
