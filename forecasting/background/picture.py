"""Draws the picture of a forecast that social networks show: its sentence, the last closes, and the interval of the next one."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from forecasting.api.predict import summary
from forecasting.models import Forecast
from forecasting.pages.cards import long_day
from forecasting.pages.previews import HEIGHT, WIDTH

LEFT, TOP, RIGHT, BOTTOM = 60, 250, 1140, 540  # of the chart, in pixels
NEXT = 150  # pixels from the last close to the forecast
INK, PAPER, QUIET, LINE, BAND, MEDIAN, ALARM = "#1f2933", "#ffffff", "#5b6770", "#417690", "#bcd3e0", "#205067", "#ba2121"


@dataclass(frozen=True, slots=True)
class Scale:
    """Prices to pixels, from the top."""

    low: float
    high: float

    def y(self, price: float) -> float:
        """The height of a price."""
        return (
            (TOP + BOTTOM) / 2 if self.high == self.low else BOTTOM - (BOTTOM - TOP) * (price - self.low) / (self.high - self.low)
        )


def scale_of(forecast: Forecast, closes: Sequence[float]) -> Scale:
    """All of it fits."""
    return Scale(min(*closes, forecast.interval_low), max(*closes, forecast.interval_high))


def draw(forecast: Forecast, closes: Sequence[float], *, simulated: bool) -> bytes:
    """A PNG of 1200 x 630 pixels. `closes`: oldest first, in the forecast's prices, the last one is its last close.

    Its description is the sentence in the picture.
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    canvas = ImageDraw.Draw(image)
    sentence = summary(forecast)
    _text(canvas, 40, forecast.symbol.ticker, size=72)
    _text(canvas, 140, sentence, size=38)
    _text(canvas, 200, f"After the close of {long_day(forecast.as_of)}", size=26, colour=QUIET)
    _chart(canvas, forecast, closes)
    _text(canvas, 572, "stockpred: every forecast is kept, and scored after its session", size=26, colour=QUIET)
    if simulated:
        canvas.rectangle((0, 0, WIDTH, 30), fill=ALARM)
        canvas.text((LEFT, 3), "SIMULATED PRICES", fill=PAPER, font=ImageFont.load_default(22))
    described = PngInfo()
    described.add_text("Description", f"{forecast.symbol.ticker}: {sentence}{' Simulated prices.' if simulated else ''}")
    output = io.BytesIO()
    image.save(output, "PNG", pnginfo=described)
    return output.getvalue()


def _chart(canvas: ImageDraw.ImageDraw, forecast: Forecast, closes: Sequence[float]) -> None:
    scale = scale_of(forecast, closes)
    step = (RIGHT - NEXT - LEFT) / max(1, len(closes) - 1)
    line = [(LEFT + place * step, scale.y(close)) for place, close in enumerate(closes)]
    low, median, high = (scale.y(price) for price in (forecast.interval_low, forecast.price, forecast.interval_high))
    canvas.polygon([line[-1], (RIGHT, high), (RIGHT, low)], fill=BAND)
    canvas.line([line[-1], (RIGHT, median)], fill=MEDIAN, width=4)
    canvas.line(line, fill=LINE, width=4, joint="curve")


def _text(canvas: ImageDraw.ImageDraw, top: int, text: str, *, size: int, colour: str = INK) -> None:
    """One line, smaller if it would not fit."""
    font = ImageFont.load_default(size)
    wide = canvas.textlength(text, font=font)
    fitting = font if wide <= RIGHT - LEFT else ImageFont.load_default(size * (RIGHT - LEFT) / wide)
    canvas.text((LEFT, top), text, fill=colour, font=fitting)
