"""How answers travel: validators and 304, compression, and pages of other sites."""

import gzip
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from tests.api.rows import LISTS, make_rows
from tests.factories import make_symbol

pytestmark = pytest.mark.django_db

SITE = "https://dashboard.example"


@pytest.fixture
def site(settings: Settings) -> str:
    """A site whose pages may call the API."""
    settings.CORS_ALLOWED_ORIGINS = [SITE]
    return SITE


@pytest.mark.parametrize("address", [*(f"/models/{name}" for name in LISTS), "/schema", "/swagger.json"])
def test_an_unchanged_answer_has_no_body(client: Client, address: str) -> None:
    make_rows(1)
    tag = client.get(address).headers["ETag"]
    again = client.get(address, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_a_condition_that_no_answer_meets_is_an_error_in_json(client: Client) -> None:
    response = client.get("/models/symbols", headers={"if-match": '"another"'})
    assert (response.status_code, response.json()) == (412, {"error": "Precondition Failed.", "details": {}})


def test_a_changed_list_is_sent_again(client: Client) -> None:
    tag = client.get("/models/symbols").headers["ETag"]
    make_symbol()
    again = client.get("/models/symbols", headers={"if-none-match": tag})
    assert (again.status_code, again.headers["ETag"] != tag) == (200, True)


def test_answers_are_compressed_for_clients_that_accept_it(client: Client) -> None:
    make_rows(10)
    plain = client.get("/models/versions")
    packed = client.get("/models/versions", headers={"accept-encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert len(packed.content) < len(plain.content) / 5


def test_a_compressed_answer_is_revalidated_as_well(client: Client) -> None:
    make_rows(10)
    tag = client.get("/models/versions", headers={"accept-encoding": "gzip"}).headers["ETag"]
    assert client.get("/models/versions", headers={"accept-encoding": "gzip", "if-none-match": tag}).status_code == 304


def test_a_csv_file_is_compressed_while_it_is_sent(client: Client) -> None:
    make_rows(10)
    response: Any = client.get("/models/versions?format=csv", headers={"accept-encoding": "gzip"})
    assert (response.streaming, response.headers["Content-Encoding"]) == (True, "gzip")
    assert gzip.decompress(b"".join(response)).count(b"\n") == 11


@pytest.mark.parametrize("origin", [SITE, "null"])
def test_no_other_site_may_read_answers_by_default(client: Client, origin: str) -> None:
    response = client.get("/models/symbols", headers={"origin": origin})
    assert (response.status_code, "Access-Control-Allow-Origin" in response.headers) == (200, False)


def test_a_site_of_the_settings_may_read_answers_and_errors(client: Client, site: str) -> None:
    for address in ("/models/symbols", "/models/symbols?page=0", "/health", "/schema"):
        assert client.get(address, headers={"origin": site}).headers["Access-Control-Allow-Origin"] == site
    exposed = client.get("/health", headers={"origin": site}).headers["Access-Control-Expose-Headers"]
    assert exposed == "ETag, Retry-After, X-Request-ID"


def test_another_site_may_not(client: Client, site: str) -> None:
    response = client.get("/models/symbols", headers={"origin": f"{site}.attacker.example"})
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_browser_may_ask_before_it_posts_json(client: Client, site: str) -> None:
    asked = {"origin": site, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    response = client.options("/models/predict", headers=asked)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == site
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert "content-type" in response.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_no_site_reaches_the_admin(client: Client, site: str) -> None:
    assert "Access-Control-Allow-Origin" not in client.get("/admin/login/", headers={"origin": site}).headers
