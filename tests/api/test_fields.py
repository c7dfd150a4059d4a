"""Fields of answers: where their values come from, and how they are rounded."""

from datetime import UTC, date, datetime, timedelta, timezone
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import pytest

from forecasting.api.fields import Constant, Count, Day, Field, Moment, Price, PriceError, Prices, Rounded, Shape, Text

EAST = timezone(timedelta(hours=3))


class Inner(Shape):
    """Shows a dictionary."""

    shows_dictionaries = True

    ratio = Rounded(2, allow_null=True)


class Outer(Shape):
    """Shows an object."""

    form = Constant("outer")
    name = Text(of="owner.name")
    doubled = Count(of=lambda shown: 2 * shown.count)
    inner = Inner(of="values")
    missing = Inner(allow_null=True)


def test_a_value_comes_from_a_path_a_function_or_the_fields_own_name() -> None:
    shown = SimpleNamespace(owner=SimpleNamespace(name="A"), count=2, values={"ratio": 0.128}, missing=None)
    expected = {"form": "outer", "name": "A", "doubled": 4, "inner": {"ratio": 0.13}, "missing": None}
    assert list(Outer.json(shown).items()) == list(expected.items())


def test_null_is_not_rounded() -> None:
    assert Inner.json({"ratio": None}) == {"ratio": None}


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        (Day(), date(2025, 6, 3), "2025-06-03"),
        (Moment(), datetime(2025, 6, 3, 12, 0, 1, 999, tzinfo=UTC), "2025-06-03T12:00:01Z"),
        (Moment(), datetime(2025, 6, 3, 1, tzinfo=EAST), "2025-06-02T22:00:00Z"),
        (PriceError(), 1.23456789, 1.2346),
        (PriceError(), 0.0000123456789, 0.000012346),
        (PriceError(), None, None),
    ],
)
def test_a_value_is_converted(field: Field, value: Any, shown: Any) -> None:
    field.bind("value", Inner())
    assert field.reader(attrgetter)(SimpleNamespace(value=value)) == shown


def test_prices_have_the_decimals_of_their_forecast() -> None:
    class Answer(Shape):
        price = Price()
        quantiles = Prices()

    forecast = SimpleNamespace(price=1.23456, quantiles={"0.5": 1.23456, "0.05": 1.0}, decimals=3)
    assert list(Answer.json(forecast)["quantiles"].items()) == [("0.05", 1.0), ("0.5", 1.235)]
    assert Answer.json(forecast)["price"] == 1.235
