"""The symbols of tests that send requests to the price source."""

import pytest

from forecasting.models import Symbol
from tests.factories import make_symbol
from tests.fake_yahoo import FakeYahoo
from tests.market.histories import HISTORY
from tests.market.price_requests import TICKERS


@pytest.fixture
def symbols(yahoo: FakeYahoo) -> list[Symbol]:
    """Six symbols that Yahoo knows."""
    yahoo.bars = dict.fromkeys(TICKERS, HISTORY)
    return [make_symbol(ticker) for ticker in TICKERS]
