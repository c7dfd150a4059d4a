"""The OpenAPI document as JSON Schema; all answers in these tests are validated against it."""

import json
from functools import cache
from typing import Any

from django.test import Client
from jsonschema_rs import Draft202012Validator

JSON = "application/json"


@cache
def document() -> dict[str, Any]:
    """The document as the service publishes it."""
    published: dict[str, Any] = Client().get("/swagger.json").json()
    return published


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Every documented operation by (method, path)."""
    return {(method, path): each for path, methods in document()["paths"].items() for method, each in methods.items()}


def answer_schema(operation: dict[str, Any], status: int) -> dict[str, Any]:
    """The schema of an operation's answer; KeyError if the status is not documented."""
    schema: dict[str, Any] = operation["responses"][str(status)]["content"][JSON]["schema"]
    return schema


def violations(value: Any, schema: dict[str, Any]) -> list[str]:
    """Violations of the schema by a JSON value, undocumented members included."""
    return [error.message for error in _validator(json.dumps(schema)).iter_errors(value)]


@cache
def _validator(schema: str) -> Draft202012Validator:
    """Validator of a schema (as JSON) that may refer to the document's components."""
    whole = _closed({**json.loads(schema), "components": document()["components"]})
    return Draft202012Validator(whole, validate_formats=True)


def _closed(schema: Any) -> Any:
    """Converts OpenAPI 3.0 to JSON Schema; objects allow no undocumented members."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {key: _closed(each) for key, each in schema.items() if key != "nullable"}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        converted["additionalProperties"] = False
    return {"anyOf": [converted, {"type": "null"}]} if schema.get("nullable") is True else converted
