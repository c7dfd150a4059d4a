"""Draws the picture of a forecast that social networks show: its sentence, the last closes, and the interval of the next one."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from forecasting.api.forecast import summary
from forecasting.models import Forecast
from forecasting.pages.cards import long_day
from forecasting.pages.previews import HEIGHT, WIDTH
from forecasting.pages.sparkline import Box, Drawing

BOX = Box(left=60, top=250, right=1140, bottom=540, step=150)  # of the chart, in pixels
INK, PAPER, QUIET, LINE, BAND, MEDIAN, ALARM = "#1f2933", "#ffffff", "#5b6770", "#417690", "#bcd3e0", "#205067", "#ba2121"


def draw(forecast: Forecast, closes: Sequence[float], *, simulated: bool) -> bytes:
    """A PNG of 1200 x 630 pixels. `closes`: up to the forecast's `as_of`, newest first.

    Its description is the sentence in the picture.
    """
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    canvas = ImageDraw.Draw(image)
    sentence = summary(forecast)
    _text(canvas, 40, forecast.symbol.ticker, size=72)
    _text(canvas, 140, sentence, size=38)
    _text(canvas, 200, f"After the close of {long_day(forecast.as_of)}", size=26, colour=QUIET)
    _chart(canvas, Drawing.of(forecast, closes, box=BOX))
    _text(canvas, 572, "stockpred: every forecast is kept, and scored after its session", size=26, colour=QUIET)
    if simulated:
        canvas.rectangle((0, 0, WIDTH, 30), fill=ALARM)
        canvas.text((BOX.left, 3), "SIMULATED PRICES", fill=PAPER, font=ImageFont.load_default(22))
    described = PngInfo()
    described.add_text("Description", f"{forecast.symbol.ticker}: {sentence}{' Simulated prices.' if simulated else ''}")
    output = io.BytesIO()
    image.save(output, "PNG", pnginfo=described)
    return output.getvalue()


def _chart(canvas: ImageDraw.ImageDraw, drawing: Drawing) -> None:
    canvas.polygon(drawing.band, fill=BAND)
    canvas.line(drawing.median, fill=MEDIAN, width=4)
    canvas.line(drawing.closes, fill=LINE, width=4, joint="curve")


def _text(canvas: ImageDraw.ImageDraw, top: int, text: str, *, size: int, colour: str = INK) -> None:
    """One line, smaller if it would not fit."""
    font, room = ImageFont.load_default(size), BOX.right - BOX.left
    wide = canvas.textlength(text, font=font)
    fitting = font if wide <= room else ImageFont.load_default(size * room / wide)
    canvas.text((BOX.left, top), text, fill=colour, font=fitting)
