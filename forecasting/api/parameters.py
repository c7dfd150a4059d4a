"""Query parameters: an unknown, empty, repeated or invalid one is refused by its name, with what is allowed."""

from collections.abc import Collection, Mapping
from typing import Any

from django.http import QueryDict
from rest_framework.exceptions import ValidationError

EMPTY = "This parameter is empty; give it a value or leave it out."
REPEATED = "Give this parameter once."


def require_known(given: QueryDict, allowed: Collection[str], *, repeatable: Collection[str] = ()) -> None:
    """Raises ValidationError, with a reason for each parameter that is unknown, empty or repeated."""
    known = f"This route knows {', '.join(sorted(allowed))}." if allowed else "This route has no parameters."
    problems = {}
    for name, values in given.lists():
        if name not in allowed:
            problems[name] = [f"Unknown parameter. {known}"]
        elif not all(value.strip() for value in values):
            problems[name] = [EMPTY]
        elif len(values) > 1 and name not in repeatable:
            problems[name] = [REPEATED]
    if problems:
        raise ValidationError(problems)


def one_of(given: Mapping[str, Any], name: str, choices: Collection[str], *, default: str) -> str:
    """The parameter's value; raises ValidationError if it is none of the choices."""
    value = str(given.get(name, default))
    if value not in choices:
        raise ValidationError({name: [f"{value} is not one of {', '.join(choices)}."]})
    return value


def whole_number(given: Mapping[str, Any], name: str, *, default: int, most: int | None = None) -> int:
    """The parameter's value; raises ValidationError if it is not a whole number from 1 to `most`."""
    text = str(given.get(name, default))
    is_number = text.isascii() and text.isdigit() and len(text) < 100  # Python refuses numbers of thousands of digits
    if not is_number or not 1 <= int(text) <= (most or int(text)):
        allowed = f"from 1 to {most}" if most else "from 1"
        raise ValidationError({name: [f"Give a whole number {allowed}."]})
    return int(text)
