"""What the OpenAPI document needs beyond what drf-spectacular finds by itself."""

from typing import Any

from drf_spectacular import authentication


class BasicScheme(authentication.BasicScheme):  # type: ignore[no-untyped-call] # its registration has no types
    """Our HTTP Basic is documented as anybody's."""

    target_class = "forecasting.api.credentials.Basic"


def without_optional_slash(endpoints: list[tuple[Any, ...]], **_: Any) -> list[tuple[Any, ...]]:
    """Each route once, without the slash that is optional at its end."""
    return [(path.rstrip("/"), *rest) for path, *rest in endpoints]
