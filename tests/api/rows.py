"""Rows of every read-only list at once."""

from datetime import date
from typing import Any

from tests.factories import add_bars, make_finding, make_forecast, make_symbol, make_training, make_version

LISTS = ("symbols", "versions", "trainings", "forecasts", "findings")


def make_rows(count: int) -> None:
    """SAMPLE1 and so on, each with bars, a training, a version and a forecast."""
    for number in range(1, count + 1):
        symbol = make_symbol(f"SAMPLE{number}")
        add_bars(symbol, count=2)
        make_training(symbol)
        make_finding(symbol)
        make_forecast(make_version(symbol), date(2025, 5, 28))


def symbols_of(page: dict[str, Any]) -> list[str]:
    """Whose rows a page has."""
    return [row["symbol"] for row in page["results"]]
