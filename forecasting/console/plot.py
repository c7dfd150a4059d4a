"""Coordinates of the small charts, in a box of WIDTH by HEIGHT units whose origin is at the top left."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forecasting.console.calibration import Calibration, Day
from forecasting.console.trainings import Day as TrainingDay

WIDTH, HEIGHT = 600.0, 150.0
LOWEST = 0.5  # share at the bottom, unless a day was below it


@dataclass(frozen=True, slots=True)
class Column:
    """The column of one day, over which its figures are shown."""

    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class CalibrationPlot:
    """Lines of the daily shares and of their mean, the level and the band in which chance alone keeps the mean."""

    bottom: float  # share
    shares: str  # points of an SVG polyline
    means: str
    level: float
    band_top: float
    band_height: float
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Bar:
    """The trainings that ended on a day: failed ones at the bottom, the others above."""

    x: float
    width: float
    failed_y: float
    failed_height: float
    other_y: float
    other_height: float
    day: TrainingDay


def calibration_plot(calibration: Calibration) -> CalibrationPlot:
    """One column per session."""
    days = calibration.days
    bottom = min([LOWEST, *(math.floor(10 * day.share) / 10 for day in days)])
    step = WIDTH / max(1, len(days))

    def height(share: float) -> float:
        return round(HEIGHT * (1 - share) / (1 - bottom), 1)

    def points(shares: Sequence[float | None]) -> str:
        shown = ((place, share) for place, share in enumerate(shares) if share is not None)
        return " ".join(f"{step * (place + 0.5):.1f},{height(share)}" for place, share in shown)

    chance = 0.0 if math.isinf(calibration.chance) else calibration.chance
    top, low = height(min(1.0, calibration.level + chance)), height(max(bottom, calibration.level - chance))
    return CalibrationPlot(
        bottom=bottom,
        shares=points([day.share for day in days]),
        means=points([day.mean for day in days]),
        level=height(calibration.level),
        band_top=top,
        band_height=round(low - top, 1),
        columns=[Column(round(step * place, 1), round(step, 2), _told(day)) for place, day in enumerate(days)],
    )


def _told(day: Day) -> str:
    mean = "" if day.mean is None else f", 20 sessions {100 * day.mean:.1f} %"
    return f"{day.date}: {100 * day.share:.1f} % of {day.count:,} inside{mean}"


def training_bars(days: Sequence[TrainingDay]) -> Iterator[Bar]:
    """One bar per day; the highest one fills the box."""
    step, highest = WIDTH / max(1, len(days)), max([1, *(day.total for day in days)])
    for place, day in enumerate(days):
        total, failed = (round(HEIGHT * count / highest, 1) for count in (day.total, day.failed))
        yield Bar(
            round(step * (place + 0.1), 1),
            round(0.8 * step, 1),
            HEIGHT - failed,
            failed,
            HEIGHT - total,
            round(total - failed, 1),
            day,
        )
