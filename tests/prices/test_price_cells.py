"""Dates and numbers of price files: notations that the whole file decides, and ambiguous ones."""

from datetime import date

import pytest

from forecasting.prices import price_cells
from forecasting.prices.price_cells import CellError


def dates(*cells: str) -> list[date]:
    return [day.date() for day in price_cells.days(cells)]


def numbers(*cells: str, column: str = "close", comma_separates: bool = False) -> list[float]:
    (found,) = price_cells.numbers([(column, cells)], comma_separates=comma_separates)
    return list(map(float, found))


@pytest.mark.parametrize(
    "cell",
    [
        "2024-03-07", "20240307", "2024/03/07", "2024.3.7", "2024-03-07 00:00:00-05:00", "2024-03-07T00:00:00.000Z",
        "Mar 07, 2024", "March 7, 2024", "07-Mar-2024", "7 Mar 2024",
    ],
)  # fmt: skip
def test_an_unambiguous_date_is_parsed(cell: str) -> None:
    assert dates(cell) == [date(2024, 3, 7)]


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (("03/04/2025", "03/13/2025"), date(2025, 3, 4)),
        (("03/04/2025", "13/04/2025"), date(2025, 4, 3)),
        (("03.04.2025", "13.04.2025"), date(2025, 4, 3)),
    ],
)
def test_another_date_of_the_file_shows_the_order_of_day_and_month(cells: tuple[str, str], first: date) -> None:
    assert dates(*cells)[0] == first


@pytest.mark.parametrize(
    ("cells", "row", "found"),
    [
        (
            ("03/04/2025", "04/04/2025"),
            0,
            "date is '03/04/2025', and no date of the file shows if the day comes first; write 2025-12-31",
        ),
        (("13/04/2025", "04/13/2025"), 1, "date is '04/13/2025', not a date such as 2025-12-31 (day first)"),
        (("2025-04-03", "03/04/25"), 1, "date is '03/04/25', not a date such as 2025-12-31"),
        (("1709769600",), 0, "date is '1709769600', not a date such as 2025-12-31"),
        (("2024-03-07 16:00:00",), 0, "date is '2024-03-07 16:00:00', which is not midnight at the exchange"),
    ],
)
def test_an_ambiguous_or_contradictory_date_is_refused(cells: tuple[str, ...], row: int, found: str) -> None:
    with pytest.raises(CellError) as caught:
        dates(*cells)
    assert (caught.value.row, caught.value.found) == (row, found)


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (("1,234", "10.50"), 1234),
        (("1.234", "10,50"), 1234),
        (("1.234", "0.5"), 1.234),
        (("1,234", "0,5"), 1.234),
        (("1,234", "1,234,567"), 1234),
        (("$1,234.56", "-"), 1234.56),
        (("R$ 1.234,56", ""), 1234.56),
        (("1,234", "1234.567"), 1234),
        (("2.892e-07", "1.234"), 2.892e-07),
    ],
)
def test_another_number_of_the_file_proves_the_decimal_sign(cells: tuple[str, str], first: float) -> None:
    assert numbers(*cells)[0] == pytest.approx(first)


def test_a_point_is_ambiguous_only_if_the_comma_does_not_separate_cells() -> None:
    assert numbers("1.234", "950", comma_separates=True) == [1.234, 950]


@pytest.mark.parametrize("cells", [("1.234", "5"), ("1,234", "5")])
def test_an_ambiguous_decimal_sign_is_refused(cells: tuple[str, str]) -> None:
    with pytest.raises(CellError, match="not a number, because no number of the file distinguishes the decimal sign"):
        numbers(*cells)


def test_both_decimal_signs_in_one_file_are_refused() -> None:
    with pytest.raises(CellError, match="close is '10,5', not a number"):
        numbers("10.5", "10,5")


@pytest.mark.parametrize(
    ("cell", "value"), [("45.32M", 45_320_000), ("1.2k", 1200), ("2.5B", 2.5e9), ("N/A", None), ("1,200", 1200)]
)
def test_a_volume_may_have_a_multiple(cell: str, value: float | None) -> None:
    assert numbers(cell, "1.5", column="volume")[0] == pytest.approx(value, nan_ok=True) or value is None


@pytest.mark.parametrize("cell", ["45.32M", "1O5", "12,34,567.5", "True", "1_000.5", "."])
def test_an_invalid_price_is_named(cell: str) -> None:
    with pytest.raises(CellError) as caught:
        numbers("10.5", cell)
    assert (caught.value.row, caught.value.found) == (1, f"close is {cell!r}, not a number")
