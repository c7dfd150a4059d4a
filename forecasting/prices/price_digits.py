"""Number of digits in displayed prices: cents if they are precise enough, else significant digits."""

import math

CENTS_FROM = 10.0
SIGNIFICANT = 5  # digits of a small price; one unit of the last is at most 0.01 %, so quantiles of a forecast stay distinct


def decimals(reference: float) -> int:
    """Decimal places of prices near `reference`: 2 from 10 upwards, 4 from 0.1, below that enough for SIGNIFICANT digits."""
    size = abs(reference)
    if size >= CENTS_FROM or size == 0:
        return 2
    return 4 if size >= 0.1 else max(8, SIGNIFICANT - 1 - math.floor(math.log10(size)))


def written(price: float) -> str:
    """The price for a message, without trailing zeros: 12345678.9, 700000, 2.892e-07; "nan" and "inf" stay as they are."""
    return f"{round(price, decimals(price)):.15g}" if math.isfinite(price) else f"{price}"
