"""The OpenAPI document and Swagger UI."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from forecasting.api.metrics import CLASSICAL_METRICS
from tests.api import openapi

ROUTES = {
    ("get", "/health"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/models/predict"),
    ("post", "/models/check"),
    ("post", "/models/metrics"),
    ("post", "/models/predict"),
    ("post", "/models/retrain"),
    ("get", "/models/symbols"),
    ("get", "/models/symbols/{ticker}"),
    ("get", "/models/symbols/{ticker}/chart"),
    ("get", "/models/versions"),
    ("get", "/models/versions/{id}"),
    ("get", "/models/trainings"),
    ("get", "/models/trainings/{id}"),
    ("get", "/models/forecasts"),
    ("get", "/models/forecasts/{id}"),
    ("get", "/models/findings"),
    ("get", "/models/findings/{id}"),
    ("post", "/models/versions/{id}/activate"),
    ("post", "/models/trainings/{id}/cancel"),
    ("get", "/models/webhooks"),
    ("post", "/models/webhooks"),
    ("get", "/models/webhooks/{id}"),
    ("delete", "/models/webhooks/{id}"),
}
STAFF_ROUTES = {route for route in ROUTES if route[1].endswith(("/activate", "/cancel")) or "/webhooks" in route[1]}


def media_types(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Media types of an operation's requests and answers, with schemas and examples."""
    holders = [operation.get("requestBody", {}), *operation["responses"].values()]
    return [media for holder in holders for media in holder.get("content", {}).values()]


def test_the_committed_document_is_valid_and_up_to_date(tmp_path: Path) -> None:
    made = tmp_path / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(made))
    assert made.read_text() == (django_settings.BASE_DIR / "openapi.yaml").read_text(), "outdated; run `make openapi`"


def test_every_route_is_documented_without_its_optional_slash() -> None:
    assert set(openapi.operations()) == ROUTES


def test_every_example_matches_its_schema() -> None:
    examples = [
        (example["value"], media["schema"])
        for operation in openapi.operations().values()
        for media in media_types(operation)
        for example in media.get("examples", {}).values()
    ]
    assert len(examples) > 20
    assert [problem for value, schema in examples for problem in openapi.violations(value, schema)] == []


def test_the_main_routes_show_examples_of_requests_answers_and_errors() -> None:
    for (_, path), operation in openapi.operations().items():
        if operation["tags"] == ["Models"]:
            success = min(operation["responses"])
            asked = [operation["requestBody"]] if "requestBody" in operation else []
            shown = [*asked, *(operation["responses"][status] for status in (success, "400", "503"))]
            assert all(each["content"][openapi.JSON]["examples"] for each in shown), path


def test_the_other_routes_show_one_example_of_their_answer() -> None:
    for (_, path), operation in openapi.operations().items():
        if operation["tags"] != ["Models"] and "204" not in (answers := operation["responses"]):
            assert len(answers[min(answers)]["content"][openapi.JSON]["examples"]) == 1, path


def test_every_route_documents_the_answer_to_an_unsupported_method() -> None:
    assert all("405" in operation["responses"] for operation in openapi.operations().values())


def test_all_errors_share_one_schema() -> None:
    for operation in openapi.operations().values():
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert answer["content"][openapi.JSON]["schema"] == {"$ref": "#/components/schemas/Error"}
                assert answer["description"]


def test_only_the_staff_routes_require_credentials() -> None:
    needing = {route for route, operation in openapi.operations().items() if operation["security"]}
    assert needing == STAFF_ROUTES


def test_every_operation_explains_itself() -> None:
    operations = openapi.operations().values()
    assert all(each["summary"] and each["description"] for each in operations)
    assert len({each["operationId"] for each in operations}) == len(ROUTES)


def test_the_forms_of_a_prediction_are_told_apart_by_their_status() -> None:
    prediction = openapi.document()["components"]["schemas"]["Prediction"]
    forms = prediction["discriminator"]["mapping"]
    assert prediction["discriminator"]["propertyName"] == "status"
    assert {each["$ref"] for each in prediction["oneOf"]} == set(forms.values())
    assert set(forms) == {"success", "training", "failed"}


def test_no_value_of_an_enumeration_has_a_blank() -> None:
    text = json.dumps(openapi.document())
    values = [value for values in re.findall(r'"enum": \[(.*?)\]', text) for value in json.loads(f"[{values}]")]
    assert len(values) > 40
    assert [value for value in values if isinstance(value, str) and re.search(r"\s", value)] == []


def test_the_document_names_its_server() -> None:
    assert [server["url"] for server in openapi.document()["servers"]] == ["/"]


def test_the_metrics_are_documented_by_the_names_of_the_contract() -> None:
    documented = openapi.document()["components"]["schemas"]["Metrics"]
    assert set(CLASSICAL_METRICS) <= set(documented["required"])


def test_an_undocumented_field_is_a_violation() -> None:
    answer = {"symbol": "SAMPLE1", "error": "none", "colour": "blue"}
    (problem,) = openapi.violations(answer, {"$ref": "#/components/schemas/MetricsAnswer"})
    assert "colour" in problem


@pytest.mark.parametrize("address", ["/schema", "/schema/", "/swagger.json", "/swagger.json/", "/swagger", "/swagger/"])
def test_the_documentation_is_served(client: Client, address: str) -> None:
    assert client.get(address).status_code == 200


def test_the_document_is_the_same_in_both_formats(client: Client) -> None:
    assert client.get("/schema", {"format": "json"}).json() == client.get("/swagger.json").json()


@pytest.mark.parametrize("address", ["/schema", "/swagger.json"])
@pytest.mark.parametrize(
    ("query", "details"),
    [
        ("version=%00", {"version": ["Unknown parameter. This route knows format."]}),
        ("format=xml", {"format": ["xml is not one of yaml, json."]}),
    ],
)
def test_a_parameter_that_the_document_does_not_know_is_refused(client: Client, address: str, query: str, details: Any) -> None:
    response = client.get(f"{address}?{query}")
    assert (response.status_code, response.json()["details"]) == (400, details)


@pytest.mark.parametrize("method", ["options", "post"])
def test_swagger_ui_is_only_read(client: Client, method: str) -> None:
    response = getattr(client, method)("/swagger")
    assert (response.status_code, set(response.json())) == (405, {"error", "details"})


def test_swagger_ui_is_served_locally(client: Client, settings: Settings) -> None:
    settings.WHITENOISE_AUTOREFRESH = False  # as in the service
    addresses = re.findall(r'(?:src|href)="([^"]*)"', client.get("/swagger").content.decode())
    assert any(each.endswith("swagger-ui-bundle.js") for each in addresses)
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200, address
        assert b"".join(response) if response.streaming else response.content


def test_swagger_ui_loads_nothing_from_other_hosts(client: Client) -> None:
    page = client.get("/swagger").content.decode()
    (script,) = re.findall(r'src="(/swagger\?[^"]*)"', page)
    assert "//" not in re.sub(r"^ *// .*$", "", page + client.get(script).content.decode(), flags=re.MULTILINE)
