"""The common interface of price sources."""

import pickle

from forecasting.prices.sources import PriceSourceError, UnknownSymbolError

SYMBOL = "TEST3.SA"


def test_the_text_of_an_error_names_its_symbol() -> None:
    assert str(PriceSourceError(SYMBOL, "no such symbol; check it")) == "TEST3.SA: no such symbol; check it"


def test_an_error_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(UnknownSymbolError(SYMBOL, "no such symbol")))  # noqa: S301  # our own bytes
    assert (type(copy), copy.symbol, copy.reason) == (UnknownSymbolError, SYMBOL, "no such symbol")
