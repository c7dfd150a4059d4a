"""A small chart of closes, and of the interval of the next one: its points, and as inline SVG, coloured by the stylesheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from forecasting.models import Forecast

Point = tuple[float, float]


class Box(NamedTuple):
    """Where a chart is drawn, from the upper left corner of the whole; `step`: width from the last close to the forecast."""

    left: float
    top: float
    right: float
    bottom: float
    step: float


BOX = Box(left=4, top=4, right=236, bottom=68, step=24)  # of the small chart, whose size is in its template


@dataclass(frozen=True, slots=True)
class Drawing:
    """Points in a box, whose height is that of all prices."""

    closes: list[Point]  # of a line
    band: list[Point]  # of a polygon: from the last close to the ends of the interval
    median: list[Point]  # of a line

    @classmethod
    def of(cls, forecast: Forecast, closes: Sequence[float], *, box: Box = BOX) -> "Drawing":
        """`closes`: up to its `as_of`, newest first, at least one. A split since then has changed them, so they are put into the
        forecast's prices."""
        ratio = forecast.last_close / closes[0]
        prices = [ratio * close for close in reversed(closes)]
        low, high = forecast.interval_low, forecast.interval_high
        bottom, top = min(*prices, low), max(*prices, high)
        step = (box.right - box.step - box.left) / max(1, len(closes) - 1)

        def y(price: float) -> float:
            share = 0.5 if top == bottom else (top - price) / (top - bottom)
            return box.top + (box.bottom - box.top) * share

        line = [(box.left + place * step, y(close)) for place, close in enumerate(prices)]
        last = line[-1]
        return cls(line, [last, (box.right, y(high)), (box.right, y(low))], [last, (box.right, y(forecast.price))])

    @property
    def svg(self) -> dict[str, str]:
        """The points as SVG writes them, by name."""
        lines = {"closes": self.closes, "band": self.band, "median": self.median}
        return {name: " ".join(f"{x:.1f},{y:.1f}" for x, y in points) for name, points in lines.items()}
