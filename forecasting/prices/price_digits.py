"""How many digits of a price are shown, the same everywhere: cents where those are fine enough, else significant digits."""

import math

CENTS_FROM = 10.0
SIGNIFICANT = 5  # digits of a small price: one step is at most 0.01 % of it, so that the quantiles of any forecast differ


def decimals(reference: float) -> int:
    """Decimal places of prices near `reference`: 2 from 10 upwards, 4 from 0.1, below that as many as keep SIGNIFICANT digits."""
    size = abs(reference)
    if size >= CENTS_FROM or size == 0:
        return 2
    return 4 if size >= 0.1 else max(8, SIGNIFICANT - 1 - math.floor(math.log10(size)))


def written(price: float) -> str:
    """The price in a sentence, without zeros at its end: 12345678.9, 700000, 2.892e-07."""
    return f"{round(price, decimals(price)):.15g}"
