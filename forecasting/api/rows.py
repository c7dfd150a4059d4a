"""Rows of the read-only lists, written by functions that are built once per serializer class.

Django REST framework builds all fields of a model's serializer for each request, and then takes a detour through each field for
each row. Together this took half the time of a list.
"""

from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from django.db.models import Model
from django.utils import timezone
from rest_framework import serializers

from forecasting.api.fields import Reader, nullable

Row = TypeVar("Row", bound=Model)

# Their values are those of JSON already.
PLAIN = (
    serializers.BooleanField,
    serializers.CharField,
    serializers.ChoiceField,
    serializers.DictField,
    serializers.FloatField,
    serializers.IntegerField,
    serializers.JSONField,
)


class RowSerializer(serializers.ModelSerializer[Row]):
    """A serializer of rows that are only read."""

    def to_representation(self, instance: Row) -> dict[str, Any]:
        """The row as a JSON object."""
        return {name: read(instance) for name, read in _readers(type(self))}


def all_but(relation: str, model: type[Model], *needed: str) -> list[str]:
    """The columns of a related model that a list does not show, for `defer`."""
    return [f"{relation}__{field.name}" for field in model._meta.concrete_fields if field.name not in {"id", *needed}]


@cache
def _readers(serializer: type[serializers.Serializer[Any]]) -> list[tuple[str, Reader]]:
    return [(name, _reader(field)) for name, field in serializer().fields.items()]


def _reader(field: "serializers.Field[Any, Any, Any, Any]") -> Reader:
    """A function from the instance to the JSON value of the field. A relation without a row on the way means null."""
    source = str(field.source)
    if source == "*":
        return field.to_representation
    if isinstance(field, serializers.ListSerializer):
        return nullable(attrgetter(source), field.to_representation)
    get: Reader = attrgetter(source)
    if "." in source and field.allow_null:
        get = _or_none(get)
    return get if _is_plain(field) else nullable(get, _converter(field))


def _is_plain(field: "serializers.Field[Any, Any, Any, Any]") -> bool:
    """Whether the field shows its value as it is. A subclass may change it."""
    return type(field) in PLAIN or (isinstance(field, PLAIN) and "to_representation" not in vars(type(field)))


def _or_none(get: Reader) -> Reader:
    def read(instance: Any) -> Any:
        try:
            return get(instance)
        except AttributeError:
            return None

    return read


def _converter(field: "serializers.Field[Any, Any, Any, Any]") -> Reader:
    return moment_text if isinstance(field, serializers.DateTimeField) else field.to_representation


def moment_text(value: datetime) -> str:
    """As Django REST framework writes it, in a fifth of the time."""
    return value.astimezone(timezone.get_default_timezone()).isoformat().replace("+00:00", "Z")
