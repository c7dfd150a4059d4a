"""A fake of Yahoo's chart service over real HTTP, for tests of code that uses it through yfinance.

    with FakeYahoo() as fake:
        fake.bars["PETR4.SA"] = generated_bars("PETR4.SA", first=date(2024, 1, 2), last=date(2024, 6, 28))
        fake.scenarios["PETR4.SA"] = rate_limited
        Yahoo(base_url=fake.url, ...).fetch("PETR4.SA", ...)

A scenario is a function that takes the fake and a request and returns an answer. Without a scenario, a
symbol is answered from `bars`; other symbols are unknown. server.py contains the server, scenarios.py the scenarios,
trading.py those of a session under way, prices.py the prices.
"""

from tests.fake_yahoo.prices import as_yahoo_adjusts, generated_bars
from tests.fake_yahoo.scenarios import (
    backwards,
    broken,
    doubled,
    failure,
    giant,
    html_not_found,
    html_page,
    in_pounds,
    known,
    listed_at,
    missing_rows,
    no_rows,
    only_at_first,
    only_missing_rows,
    rate_limited,
    renamed,
    replayed,
    slow,
    trickle,
    truncated,
    unfinished_bar,
    unknown,
    without,
)
from tests.fake_yahoo.server import COOKIE, CRUMB, Answer, FakeYahoo, Request, Scenario, closed_url
from tests.fake_yahoo.trading import Trades, day_of_trades, trading

__all__ = [
    "COOKIE",
    "CRUMB",
    "Answer",
    "FakeYahoo",
    "Request",
    "Scenario",
    "Trades",
    "as_yahoo_adjusts",
    "backwards",
    "broken",
    "closed_url",
    "day_of_trades",
    "doubled",
    "failure",
    "generated_bars",
    "giant",
    "html_not_found",
    "html_page",
    "in_pounds",
    "known",
    "listed_at",
    "missing_rows",
    "no_rows",
    "only_at_first",
    "only_missing_rows",
    "rate_limited",
    "renamed",
    "replayed",
    "slow",
    "trading",
    "trickle",
    "truncated",
    "unfinished_bar",
    "unknown",
    "without",
]
