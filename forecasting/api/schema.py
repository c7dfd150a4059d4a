"""Additions to the OpenAPI document that drf-spectacular does not find."""

from typing import Any

from drf_spectacular import authentication
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class BasicScheme(authentication.BasicScheme):  # type: ignore[no-untyped-call] # its registration has no types
    """Documents our HTTP Basic like the standard one."""

    target_class = "forecasting.api.credentials.Basic"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # as above
    """Documents the header of API keys."""

    target_class = "forecasting.api.credentials.ApiKey"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        """A header, whose value begins with the scheme."""
        description = "The value is `Api-Key`, a space and the key. Staff make keys in the admin."
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": description}


def without_credentials_if_public(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """An operation whose credentials are optional has no security requirement: generated clients would demand them otherwise."""
    for operation in (each for methods in result["paths"].values() for each in methods.values()):
        if {} in operation.get("security", []):
            operation["security"] = []
    return result


def without_optional_slash(endpoints: list[tuple[Any, ...]], **_: Any) -> list[tuple[Any, ...]]:
    """Each route once, without its optional trailing slash."""
    return [(path.rstrip("/"), *rest) for path, *rest in endpoints]
