"""A small chart as inline SVG: closes, and the interval of the next one. Its colours come from the stylesheet."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, MARGIN = 240.0, 72.0, 4.0
NEXT = 24.0  # width from the last close to the forecast


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Points of the drawing, from its upper left corner."""

    closes: str  # of a polyline
    band: str  # of a polygon: from the last close to the ends of the interval
    median: str  # of a polyline

    @classmethod
    def of(cls, closes: Sequence[float], *, low: float, median: float, high: float) -> "Sparkline":
        """Closes oldest first, at least one; they and the interval share their unit."""
        bottom, top = min(*closes, low), max(*closes, high)
        right = WIDTH - MARGIN
        step = (right - NEXT - MARGIN) / max(1, len(closes) - 1)

        def y(price: float) -> float:
            return HEIGHT / 2 if top == bottom else MARGIN + (HEIGHT - 2 * MARGIN) * (top - price) / (top - bottom)

        line = [(MARGIN + place * step, y(close)) for place, close in enumerate(closes)]
        last = line[-1]
        return cls(
            closes=_points(line),
            band=_points([last, (right, y(high)), (right, y(low))]),
            median=_points([last, (right, y(median))]),
        )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
