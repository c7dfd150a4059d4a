"""Fields of answers: each states its type and help text, where its value comes from, and how that is rounded.

They are fields of Django REST framework, so drf-spectacular documents them. `Shape.json` uses functions that are built once per
class: `to_representation` of Django REST framework takes twice as long.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, ClassVar, cast

from django.conf import settings
from rest_framework import serializers

from forecasting.prices.catalogue import is_simulated
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


def nullable(read: Reader, convert: Reader) -> Reader:
    """A function that converts what `read` reads, unless it is null."""
    return lambda shown: None if (value := read(shown)) is None else convert(value)


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
        super().__init__(of=lambda _: is_simulated(settings.PRICE_SOURCE), help_text=text, **options)


class Count(Field, serializers.IntegerField):
    """A whole number."""


class Number(Field, serializers.FloatField):
    """A number as it is stored."""


class Rounded(Field, serializers.FloatField):
    """A number with at most `digits` decimals."""

    def __init__(self, digits: int, **options: Any) -> None:
        super().__init__(**options)
        self.digits = digits

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get, digits = super().reader(getter), self.digits
        return nullable(get, lambda value: round(value, digits)) if self.allow_null else lambda shown: round(get(shown), digits)


class Numbers(Field, serializers.DictField):
    """Numbers by name, each with at most `digits` decimals."""

    child = serializers.FloatField()

    def __init__(self, digits: int, **options: Any) -> None:
        super().__init__(**options)
        self.digits = digits

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get, digits = super().reader(getter), self.digits
        return lambda shown: {name: round(number, digits) for name, number in get(shown).items()}


class PriceError(Field, serializers.FloatField):
    """An error of prices: four decimals, or more if it is small."""

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        return nullable(super().reader(getter), lambda error: round(error, max(4, decimals(error))))


class Price(Field, serializers.FloatField):
    """A price of a forecast, with as many decimals as its last close needs."""

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get = super().reader(getter)
        if self.allow_null:
            return lambda forecast: None if (price := get(forecast)) is None else round(price, forecast.decimals)
        return lambda forecast: round(get(forecast), forecast.decimals)


class Prices(Field, serializers.DictField):
    """Prices of a forecast by name, sorted, rounded as Price."""

    child = serializers.FloatField()

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get = super().reader(getter)

        def read(forecast: Any) -> dict[str, float]:
            prices, digits = get(forecast), forecast.decimals
            return {name: round(prices[name], digits) for name in sorted(prices)}

        return read


class Day(Field, serializers.DateField):
    """A date."""

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get = super().reader(getter)
        return lambda shown: get(shown).isoformat()


class DayText(Field, serializers.DateField):
    """A date that is stored as a string."""


class Moment(Field, serializers.DateTimeField):
    """A moment in UTC, to the second."""

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get = super().reader(getter)
        return nullable(get, _moment) if self.allow_null else lambda shown: _moment(get(shown))


class Shape(Field, serializers.Serializer[Any]):
    """A JSON object. Its members are the fields of the class, in their order."""

    shows_dictionaries: ClassVar[bool] = False  # instead of objects with attributes

    @classmethod
    def json(cls, shown: Any) -> dict[str, Any]:
        """The JSON object that shows this object."""
        return _writer(cls)(shown)

    @classmethod
    def writer(cls) -> Callable[[Any], dict[str, Any]]:
        """Builds the function behind `json`."""
        getter: Getter = itemgetter if cls.shows_dictionaries else attrgetter
        readers = [(name, cast("Field", field).reader(getter)) for name, field in cls().fields.items()]
        return lambda shown: {name: read(shown) for name, read in readers}

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get, write = super().reader(getter), self.writer()
        if self.of == "*":
            return write
        return nullable(get, write) if self.allow_null else lambda shown: write(get(shown))


class Shapes(Field, serializers.ListField):
    """Several JSON objects of one shape; null if there are none."""

    def __init__(self, child: Shape, **options: Any) -> None:
        super().__init__(child=child, allow_null=True, **options)

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get, write = super().reader(getter), cast("Shape", self.child).writer()
        return lambda shown: [write(each) for each in get(shown) or ()] or None


class ShapeList(Field, serializers.ListField):
    """JSON objects of one shape."""

    def __init__(self, child: Shape, **options: Any) -> None:
        super().__init__(child=child, **options)

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get, write = super().reader(getter), cast("Shape", self.child).writer()
        return lambda shown: [write(each) for each in get(shown)]


class ShapesByName(Field, serializers.DictField):
    """JSON objects by name, all of one shape."""

    def __init__(self, child: Shape, **options: Any) -> None:
        super().__init__(child=child, **options)

    def reader(self, getter: Getter) -> Reader:
        """See Field."""
        get, write = super().reader(getter), cast("Shape", self.child).writer()
        return lambda shown: {name: write(each) for name, each in get(shown).items()}


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@cache
def _writer(shape: type[Shape]) -> Callable[[Any], dict[str, Any]]:
    return shape.writer()
