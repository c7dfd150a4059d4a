"""What every test gets: a media folder of its own, and yfinance's curl loaded before TensorFlow, which would take its place."""

from pathlib import Path

import curl_cffi  # noqa: F401 - see above
import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def _own_media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
