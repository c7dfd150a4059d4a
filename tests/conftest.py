"""Setup of every test: a separate media folder, and yfinance's curl library loaded before TensorFlow, which would replace it."""

from pathlib import Path

import curl_cffi  # noqa: F401 - see above
import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def _own_media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
