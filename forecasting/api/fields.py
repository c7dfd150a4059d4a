"""Fields of answers: each states its type and help text, where its value comes from, and how that is rounded.

They are fields of Django REST framework, so drf-spectacular documents them. `Shape.json` makes the JSON with functions that are
built once per class, because `to_representation` of Django REST framework takes several times as long.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, cast

from django.conf import settings
from rest_framework import serializers

from forecasting.prices.price_digits import decimals

PRICE = "In the symbol's currency."  # help text

Reader = Callable[[Any], Any]
Getter = Callable[[str], Reader]  # attrgetter or itemgetter


class Field(serializers.Field[Any, Any, Any, Any]):
    """A field of an answer. `of`: an attribute path, a key or a function; "*" for the whole object; by default the own name."""

    def __init__(self, *args: Any, of: str | Reader = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.of = of

    def reader(self, getter: Getter) -> Reader:
        """A function from the object to the JSON value of this field."""
        if callable(self.of):
            return self.of
        return getter(self.of or cast("str", self.field_name)) if self.of != "*" else lambda shown: shown


class Converted(Field):
    """A field whose value is not JSON yet, or is rounded."""

    def convert(self, value: Any) -> Any:
        """The JSON value; null is not converted."""
        raise NotImplementedError

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get, convert = super().reader(getter), self.convert
        if not self.allow_null:
            return lambda shown: convert(get(shown))
        return lambda shown: None if (value := get(shown)) is None else convert(value)


class Text(Field, serializers.CharField):
    """A string."""


class Choice(Field, serializers.ChoiceField):
    """One of several strings."""


class Constant(Field, serializers.ChoiceField):
    """Always the same string: it tells the forms of an answer apart."""

    def __init__(self, value: str, **options: Any) -> None:
        super().__init__([value], of=lambda _: value, **options)
        self.value = value

    def to_representation(self, value: Any) -> str:
        """The string: drf-spectacular asks for it."""
        return self.value


class Flag(Field, serializers.BooleanField):
    """True or false."""


class Simulated(Flag):
    """Whether the prices of an answer are simulated."""

    def __init__(self, **options: Any) -> None:
        text = "Whether the prices are simulated (`PRICE_SOURCE=sample`) rather than those of a market."
        super().__init__(of=lambda _: settings.PRICE_SOURCE == "sample", help_text=text, **options)


class Count(Field, serializers.IntegerField):
    """A whole number."""


class Number(Field, serializers.FloatField):
    """A number as it is stored."""


class Rounded(Converted, serializers.FloatField):
    """A number with at most `digits` decimals."""

    def __init__(self, digits: int, **options: Any) -> None:
        super().__init__(**options)
        self.digits = digits

    def convert(self, value: float) -> float:
        """See Converted."""
        return round(value, self.digits)


class PriceError(Converted, serializers.FloatField):
    """An error of prices: four decimals, or more if it is small."""

    def convert(self, value: float) -> float:
        """See Converted."""
        return round(value, max(4, decimals(value)))


class Price(Field, serializers.FloatField):
    """A price of a forecast, with as many decimals as its last close needs."""

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get = super().reader(getter)
        return lambda forecast: round(get(forecast), decimals(forecast.last_close))


class Prices(Field, serializers.DictField):
    """Prices of a forecast by name, sorted, rounded as Price."""

    child = serializers.FloatField()

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get = super().reader(getter)

        def read(forecast: Any) -> dict[str, float]:
            digits = decimals(forecast.last_close)
            return {name: round(price, digits) for name, price in sorted(get(forecast).items())}

        return read


class Day(Converted, serializers.DateField):
    """A date."""

    def convert(self, value: date) -> str:
        """See Converted."""
        return value.isoformat()


class DayText(Field, serializers.DateField):
    """A date that is stored as a string."""


class Moment(Converted, serializers.DateTimeField):
    """A moment in UTC, to the second."""

    def convert(self, value: datetime) -> str:
        """See Converted."""
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Shape(Converted, serializers.Serializer[Any]):
    """A JSON object. Its members are the fields of the class, in their order."""

    @classmethod
    def json(cls, shown: Any) -> dict[str, Any]:
        """The JSON object that shows this object, or this dictionary."""
        return {name: read(shown) for name, read in cls._readers(itemgetter if isinstance(shown, dict) else attrgetter)}

    @classmethod
    @cache
    def _readers(cls, getter: Getter) -> tuple[tuple[str, Reader], ...]:
        return tuple((name, cast("Field", field).reader(getter)) for name, field in cls().fields.items())

    def convert(self, value: Any) -> dict[str, Any]:
        """See Converted."""
        return self.json(value)
