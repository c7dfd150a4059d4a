"""Rows for every read-only list."""

from datetime import date
from typing import Any

from tests.factories import add_bars, make_finding, make_forecast, make_symbol, make_training, make_version

LISTS = ("symbols", "versions", "trainings", "forecasts", "findings")


def make_rows(count: int) -> None:
    """Symbols SAMPLE1, SAMPLE2 and so on, each with bars, a training, a finding, a version and a forecast."""
    for number in range(1, count + 1):
        symbol = make_symbol(f"SAMPLE{number}")
        add_bars(symbol, count=2)
        make_training(symbol)
        make_finding(symbol)
        make_forecast(make_version(symbol), date(2025, 5, 28))


def symbols_of(page: dict[str, Any]) -> list[str]:
    """The symbols of a page's rows."""
    return [row["symbol"] for row in page["results"]]
