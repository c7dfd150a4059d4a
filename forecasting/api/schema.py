"""Additions to the OpenAPI document that drf-spectacular does not find."""

from typing import Any

from drf_spectacular import authentication


class BasicScheme(authentication.BasicScheme):  # type: ignore[no-untyped-call] # its registration has no types
    """Documents our HTTP Basic like the standard one."""

    target_class = "forecasting.api.credentials.Basic"


def without_optional_slash(endpoints: list[tuple[Any, ...]], **_: Any) -> list[tuple[Any, ...]]:
    """Each route once, without its optional trailing slash."""
    return [(path.rstrip("/"), *rest) for path, *rest in endpoints]
