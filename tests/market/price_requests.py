"""Helpers for tests of requests to the price source."""

import pytest

from forecasting import market
from forecasting.models import Symbol
from forecasting.prices.sources import PriceSourceError
from tests.fake_yahoo import FakeYahoo
from tests.market.histories import NOW

TICKERS = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]


def charts(yahoo: FakeYahoo) -> list[str]:
    """The symbols of the price requests, in order."""
    return [request.symbol for request in yahoo.requests if request.symbol]


def fails(ticker: str, error: type[PriceSourceError]) -> str:
    """The reason of the failed sync of the symbol."""
    with pytest.raises(error) as raised:
        market.sync(Symbol.objects.get(ticker=ticker), now=NOW)
    return raised.value.reason
