"""Which symbols share a base rate of rising days."""

import pytest

from forecasting.prices.rate_classes import INDEX_OR_FUND, rate_class


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("KO", "XNYS"),
        ("PETR4.SA", "BVMF"),
        ("INFY.NS", "XBOM"),  # the exchange with the same sessions
        ("^GSPC", INDEX_OR_FUND),
        ("^N225", INDEX_OR_FUND),
        ("^VIX", None),  # a volatility
        ("^TNX", None),  # a yield
        ("BTC-USD", None),
        ("EURUSD=X", None),
        ("GC=F", None),
        ("ABC.XYZ", None),  # an unknown market
    ],
)
def test_the_class_follows_from_the_notation(symbol: str, expected: str | None) -> None:
    assert rate_class(symbol) == expected


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [("ETF", INDEX_OR_FUND), ("MUTUALFUND", INDEX_OR_FUND), ("EQUITY", "XNYS"), ("FUTURE", None), ("CRYPTOCURRENCY", None)],
)
def test_the_price_source_knows_better(instrument: str, expected: str | None) -> None:
    assert rate_class("SPY", instrument=instrument) == expected


def test_a_symbol_has_the_class_of_the_exchange_that_its_source_names() -> None:
    assert rate_class("ABC", exchange="XTKS") == "XTKS"
    assert rate_class("ABC", exchange="XNAS") == "XNYS"
    assert rate_class("ABC", exchange="WEEK:MTWT--S") is None
