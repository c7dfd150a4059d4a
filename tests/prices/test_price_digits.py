"""Number of digits in displayed prices."""

import math

import numpy as np
import pytest

from forecasting.prices.price_digits import decimals, written


@pytest.mark.parametrize("price", [2.892e-07, 1e-09, 0.00012345, 0.0999, 0.5, 1.0, 9.99, 10.0, 700_000.0, 12_345_678.9])
def test_a_price_keeps_four_significant_digits(price: float) -> None:
    assert round(price, decimals(price)) == pytest.approx(price, rel=1e-4)


@pytest.mark.parametrize("price", np.geomspace(1e-12, 1e9, 60).tolist())
def test_the_quantiles_of_a_narrow_interval_stay_distinct(price: float) -> None:
    quantiles = [price * factor for factor in (0.98, 0.985, 0.993, 1, 1.007, 1.015, 1.02)]
    assert len({round(quantile, decimals(price)) for quantile in quantiles}) == 7


def test_zero_and_negative_prices_have_decimals() -> None:
    assert (decimals(0.0), decimals(-37.63), decimals(-2.892e-07)) == (2, 2, decimals(2.892e-07))


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (12_345_678.9, "12345678.9"),
        (700_000.0, "700000"),
        (2.892e-07, "2.892e-07"),
        (100.0, "100"),
        (0.1 + 0.2, "0.3"),
        (math.nan, "nan"),
    ],
)
def test_a_written_price_has_all_digits_and_no_trailing_zeros(price: float, text: str) -> None:
    assert written(price) == text
