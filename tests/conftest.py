"""Setup of every test, and price sources for many: a folder of CSV files, and a fake Yahoo.

yfinance's curl library must be loaded before TensorFlow, which would replace it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import curl_cffi  # noqa: F401 - see above
import pytest
from django.core.signals import setting_changed
from django.dispatch import receiver
from pytest_django import Settings

from tests.fake_yahoo import FakeYahoo


@receiver(setting_changed)
def _forget_price_source(**_: Any) -> None:
    """A process keeps its price source; a test has that of its own settings."""
    from forecasting import market  # noqa: PLC0415 - Django must be set up first

    market.price_source.cache_clear()


@pytest.fixture(autouse=True)
def _own_media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture(autouse=True)
def _no_front_page_of_an_earlier_test() -> None:
    from forecasting.pages import cards, promise  # noqa: PLC0415 - Django must be set up first

    cards.newest.forget()
    promise.kept.forget()


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    """The folder of the configured CSV source, empty."""
    settings.PRICE_SOURCE, settings.PRICE_DIR = "csv", tmp_path / "prices"
    settings.PRICE_DIR.mkdir()
    return tmp_path / "prices"


@pytest.fixture
def yahoo(settings: Settings, tmp_path: Path) -> Iterator[FakeYahoo]:
    """A fake Yahoo without any symbol, as the configured source.

    The source is made here: a request's thread that makes it may outlive the test, and would leave it to the next one.
    """
    from forecasting import market  # noqa: PLC0415 - Django must be set up first

    with FakeYahoo() as fake:
        settings.PRICE_SOURCE, settings.YAHOO_URL, settings.STATE_DIR = "yahoo", fake.url, tmp_path
        market.price_source()
        yield fake
