"""Answers as JSON texts. A text that depends on one row only is kept with the row, for as long as the process remembers that."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from django.db.models import Model
from django.http import HttpResponse
from rest_framework.renderers import JSONRenderer

Row = TypeVar("Row", bound=Model)

KEPT = "written_text"  # attribute of a row

json_text = JSONRenderer().render


def written(row: Row, write: Callable[[Row], object]) -> bytes:
    """What `write` makes of the row, as JSON. A row is always written by the same function."""
    text: bytes | None = vars(row).get(KEPT)
    if text is None:
        text = vars(row)[KEPT] = json_text(write(row))
    return text


def json_response(text: bytes, *, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """The response with this text."""
    return HttpResponse(text, content_type="application/json", headers=headers)
