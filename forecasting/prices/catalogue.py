"""The table of price sources. A new source is one class with `fetch` (see PriceSource), and one entry here.

Settings, checks, rate limit, API and admin read this table, so it imports nothing heavy; a source is imported when it is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FETCH_SECONDS = 10  # timeout of one request to a remote source, with everything that belongs to it


@dataclass(frozen=True, slots=True)
class Entry:
    """What the service knows about a price source before it imports it."""

    path: str  # dotted path of its class
    options: Callable[[Any], dict[str, Any]]  # arguments of the class, from Django's settings
    remote: bool = False  # another party's service: rate limit, circuit breaker and retries apply
    simulated: bool = False  # no real market: every output must say so
    folder: str = ""  # the setting that names its folder of prices
    files: str = ""  # the name of each file in that folder


SOURCES = {
    "yahoo": Entry(
        "forecasting.prices.yahoo.Yahoo",  # imports yfinance, which costs a second and 50 MB
        lambda settings: {
            "base_url": settings.YAHOO_URL,
            "cache_dir": settings.STATE_DIR / "yfinance",
            "timeout_s": FETCH_SECONDS,
        },
        remote=True,
    ),
    "csv": Entry(
        "forecasting.prices.csv_folder.CsvFolder",
        lambda settings: {"folder": settings.PRICE_DIR},
        folder="PRICE_DIR",
        files="SYMBOL.csv",
    ),
    "sample": Entry("forecasting.prices.simulation.Simulation", lambda settings: {"seed": settings.SEED}, simulated=True),
}


def is_simulated(name: str) -> bool:
    """Whether the prices of the source are simulated."""
    return name in SOURCES and SOURCES[name].simulated
