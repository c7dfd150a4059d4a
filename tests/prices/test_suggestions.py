"""Suggestions for unknown symbols."""

import pytest

from forecasting.prices.suggestions import spellings


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("PETR4", "PETR4.SA"), ("TAEE11", "TAEE11.SA"), ("AAPL34", "AAPL34.SA"), ("VALE3.BR", "VALE3.SA"),
        ("BRK.B", "BRK-B"), ("BF_B", "BF-B"),
        ("BTCUSD", "BTC-USD"), ("ETHUSDT", "ETH-USD"), ("BTC_EUR", "BTC-EUR"), ("EURUSD", "EURUSD=X"), ("USD-BRL", "USDBRL=X"),
        ("SPX", "^GSPC"), ("IBOV", "^BVSP"), ("N225", "^N225"),
        ("VOD.LN", "VOD.L"), ("SAP.XETRA", "SAP.DE"), ("AAPL.US", "AAPL"), ("MSFT.OQ", "MSFT"),
        ("0700", "0700.HK"), ("00700", "0700.HK"), ("09988.HK", "9988.HK"), ("600519", "600519.SS"),
    ],
)  # fmt: skip
def test_an_obvious_spelling_is_found(asked: str, meant: str) -> None:
    assert spellings(asked) == [meant]


def test_a_code_of_four_digits_may_be_of_several_exchanges() -> None:
    assert spellings("7203") == ["7203.T", "7203.HK", "7203.TW"]


@pytest.mark.parametrize(
    "asked", ["AAPL", "PETR4.SA", "BRK-B", "BTC-USD", "EURUSD=X", "^GSPC", "VOD.L", "7203.T", "0700.HK", "SHEL.F", "NOPE"]
)
def test_without_an_obvious_spelling_there_is_no_suggestion(asked: str) -> None:
    assert spellings(asked) == []
