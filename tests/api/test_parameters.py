"""Query parameters of the routes that read: what they do not know, or cannot use, is refused by name."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.api.conftest import Send
from tests.api.rows import LISTS, make_rows

pytestmark = pytest.mark.django_db

EMPTY = "This parameter is empty; give it a value or leave it out."


def refusal(client: APIClient, address: str) -> Any:
    """The reasons of a 400."""
    response = client.get(address)
    assert (response.status_code, response.json()["error"]) == (400, "The request is invalid.")
    return response.json()["details"]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_the_parameters_that_it_knows(get: Send, name: str) -> None:
    (told,) = get(f"/models/{name}", {"symbols": "NVDA"}, status=400)["details"]["symbols"]
    assert told.startswith("Unknown parameter. This route knows ")
    assert {"format", "page", "page_size", "symbol"} <= set(told.removesuffix(".").split(" knows ")[1].split(", "))


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("parameter", ["symbol", "page", "page_size", "format"])
@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_parameter_is_refused(get: Send, name: str, parameter: str, value: str) -> None:
    assert get(f"/models/{name}", {parameter: value}, status=400)["details"] == {parameter: [EMPTY]}


def test_all_bad_parameters_are_named_at_once(client: APIClient) -> None:
    assert set(refusal(client, "/models/forecasts?ordering=&symbol=&colour=blue")) == {"ordering", "symbol", "colour"}


def test_a_parameter_that_is_given_twice_is_refused(client: APIClient) -> None:
    assert refusal(client, "/models/symbols?symbol=A&symbol=B") == {"symbol": ["Give this parameter once."]}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("size", ["0", "-1", "501", "1.5", "abc", "\u0663", "1" * 5000])
def test_a_page_size_out_of_range_is_refused(get: Send, name: str, size: str) -> None:
    assert get(f"/models/{name}", {"page_size": size}, status=400)["details"] == {
        "page_size": ["Give a whole number from 1 to 500."]
    }


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("page", ["0", "-1", "last", "1e3", "\u00b2", "1" * 5000])
def test_a_page_that_is_no_positive_number_is_refused(get: Send, name: str, page: str) -> None:
    assert get(f"/models/{name}", {"page": page}, status=400)["details"] == {"page": ["Give a whole number from 1."]}


def test_a_format_that_does_not_exist_is_refused(client: APIClient) -> None:
    assert refusal(client, "/models/symbols?format=xml") == {"format": ["xml is not one of json, csv."]}


@pytest.mark.parametrize("name", [name for name in LISTS if name != "symbols"])
def test_a_single_row_has_no_parameters_but_wait(get: Send, client: APIClient, name: str) -> None:
    make_rows(1)
    (row,) = get(f"/models/{name}")["results"]
    known = "This route knows wait." if name == "trainings" else "This route has no parameters."
    assert refusal(client, f"/models/{name}/{row['id']}?full=1") == {"full": [f"Unknown parameter. {known}"]}


def test_a_nul_in_a_name_is_refused(client: APIClient) -> None:
    assert set(refusal(client, "/models/symbols?%00=%00")) == {"\0"}


@pytest.mark.parametrize("address", ["/models/check?symbols=A", "/models/predict?debug="])
def test_a_post_ignores_its_query_as_before(client: APIClient, address: str) -> None:
    assert client.post(address, {"symbols": ["SAMPLE1"]}, format="json").status_code == 200
