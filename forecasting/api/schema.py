"""Additions to the OpenAPI document that drf-spectacular does not find."""

from typing import Any

from drf_spectacular import authentication


class BasicScheme(authentication.BasicScheme):  # type: ignore[no-untyped-call] # its registration has no types
    """Documents our HTTP Basic like the standard one."""

    target_class = "forecasting.api.credentials.Basic"


def without_credentials_if_public(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A public operation has no security requirement at all; drf-spectacular writes an empty one, which some generators reject."""
    for operation in (each for methods in result["paths"].values() for each in methods.values()):
        if operation.get("security") == [{}]:
            operation["security"] = []
    return result


def without_optional_slash(endpoints: list[tuple[Any, ...]], **_: Any) -> list[tuple[Any, ...]]:
    """Each route once, without its optional trailing slash."""
    return [(path.rstrip("/"), *rest) for path, *rest in endpoints]
