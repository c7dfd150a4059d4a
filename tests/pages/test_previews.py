"""The pictures that social networks show: drawn by the worker from forecasts, one for each followed symbol."""

import io
from datetime import date

import pytest
from PIL import Image
from pytest_django import Settings

from forecasting.api.forecast import summary
from forecasting.background.picture import BOX, draw
from forecasting.background.previews import draw_due
from forecasting.models import Forecast, Symbol
from forecasting.pages import previews
from tests.factories import add_bars, make_forecast, make_symbol, make_version

pytestmark = pytest.mark.django_db

AS_OF = date(2025, 6, 2)
CLOSES = [100.0, 105.0, 95.0]  # newest first


@pytest.fixture
def forecast() -> Forecast:
    """80 % between 99 and 103."""
    symbol = make_symbol("PETR4.SA")
    add_bars(symbol, count=12, end=AS_OF)
    return make_forecast(make_version(symbol), AS_OF)


def drawn() -> set[str]:
    """The names of the pictures."""
    return {entry.name for entry in previews.folder().iterdir()}


def opened(picture: bytes) -> Image.Image:
    """The picture in colours."""
    return Image.open(io.BytesIO(picture))


def test_its_sentence_is_that_of_predict(forecast: Forecast) -> None:
    picture = opened(draw(forecast, CLOSES, simulated=False))
    assert picture.size == (1200, 630)
    assert picture.info["Description"] == f"PETR4.SA: {summary(forecast)}"


def test_the_band_ends_at_the_interval(forecast: Forecast) -> None:
    picture = opened(draw(forecast, CLOSES, simulated=False)).convert("RGB")
    top, bottom = int(BOX.top), int(BOX.bottom)  # of 105 and 95, the highest and the lowest close
    column = [y for y in range(top, bottom) if picture.getpixel((int(BOX.right) - 2, y)) != (255, 255, 255)]
    assert column[0] == pytest.approx(top + 0.2 * (bottom - top), abs=2)  # 103
    assert column[-1] == pytest.approx(top + 0.6 * (bottom - top), abs=2)  # 99


def test_simulated_prices_are_written_across_the_top(forecast: Forecast) -> None:
    picture = opened(draw(forecast, CLOSES, simulated=True))
    assert str(picture.info["Description"]).endswith("Simulated prices.")
    assert picture.convert("RGB").getpixel((1190, 15)) == (186, 33, 33)


def test_each_symbol_has_the_picture_of_its_newest_forecast(forecast: Forecast) -> None:
    assert draw_due(seconds=60) == 1
    assert drawn() == {previews.name(forecast.symbol_id, forecast.pk)}
    assert draw_due(seconds=60) == 0

    newer = make_forecast(forecast.version, date(2025, 6, 3))
    assert draw_due(seconds=60) == 1
    assert drawn() == {previews.name(newer.symbol_id, newer.pk)}


def test_an_old_picture_stays_until_the_new_one_is_there(forecast: Forecast) -> None:
    draw_due(seconds=60)
    make_forecast(forecast.version, date(2025, 6, 3))
    assert draw_due(seconds=-1) == 0
    assert drawn() == {previews.name(forecast.symbol_id, forecast.pk)}


def test_a_removed_symbol_loses_its_picture(forecast: Forecast) -> None:
    draw_due(seconds=60)
    Symbol.objects.update(removed_at="2025-06-03T00:00Z")
    draw_due(seconds=60)
    assert drawn() == set()


def test_a_folder_that_cannot_be_written_is_one_warning(
    forecast: Forecast, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MEDIA_ROOT = "/proc/media"
    assert draw_due(seconds=60) == 0
    assert "preview pictures cannot be written below /proc/media/previews" in caplog.text


def test_what_a_killed_worker_left_is_removed(forecast: Forecast) -> None:
    draw_due(seconds=60)
    (previews.folder() / "1-1.incoming").touch()
    draw_due(seconds=60)
    assert drawn() == {previews.name(forecast.symbol_id, forecast.pk)}


def test_without_public_pages_nothing_is_drawn(forecast: Forecast, settings: Settings) -> None:
    settings.PUBLIC_PAGES = False
    assert draw_due(seconds=60) == 0
    assert not previews.folder().exists()
