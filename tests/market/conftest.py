"""Price sources for tests: a folder of CSV files, and a fake Yahoo."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from forecasting import market
from tests.fake_yahoo import FakeYahoo


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """The folder of the configured CSV source."""
    settings.PRICE_SOURCE, settings.PRICE_DIR = "csv", tmp_path / "prices"
    settings.PRICE_DIR.mkdir()
    market.price_source.cache_clear()
    yield settings.PRICE_DIR
    market.price_source.cache_clear()


@pytest.fixture
def yahoo(settings: Settings, tmp_path: Path) -> Iterator[FakeYahoo]:
    """A fake Yahoo as the configured source."""
    with FakeYahoo() as fake:
        settings.PRICE_SOURCE, settings.YAHOO_URL, settings.STATE_DIR = "yahoo", fake.url, tmp_path
        market.price_source.cache_clear()
        yield fake
        market.price_source.cache_clear()
