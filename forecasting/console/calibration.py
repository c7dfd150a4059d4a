"""Calibration of the last 120 sessions: the share of closes inside the interval, day by day, and its mean of 20 days."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from forecasting.models import Score
from forecasting.models.forecasts import HORIZONS, Basis
from forecasting.pipeline.config import ForecastConfig
from forecasting.pipeline.evaluation.uncertainty import Deviation, chance_of_mean

SESSIONS = 120
WINDOW = 20  # sessions of the mean
KINDS = ((Basis.CLOSE, 1), (Basis.LEAD, 1), (Basis.LIVE, 1), *((Basis.CLOSE, horizon) for horizon in HORIZONS[1:]))


@dataclass(frozen=True, slots=True)
class Day:
    """One session: the share of closes inside, and that of the last WINDOW sessions; None before there are so many."""

    date: date
    count: int
    share: float
    mean: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """A basis and horizon that the page can show."""

    basis: Basis
    horizon: int
    is_chosen: bool

    @property
    def name(self) -> str:
        """The basis; of later closes, the horizon."""
        return str(self.basis.label) if self.horizon == 1 else f"{self.horizon} sessions ahead"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The days, oldest first, of one basis and horizon, beside the promised level."""

    basis: Basis
    horizon: int
    level: float
    days: Sequence[Day]
    chance: float  # how far the mean may be off by chance; infinite if there are too few sessions

    @property
    def deviation(self) -> Deviation | None:
        """Of the last mean from the level; None before there is one, or if chance is not known."""
        mean = self.days[-1].mean if self.days else None
        return None if mean is None or math.isinf(self.chance) else Deviation(abs(mean - self.level), self.chance)

    @property
    def choices(self) -> list[Choice]:
        """All kinds of forecasts."""
        return [Choice(*kind, is_chosen=kind == (self.basis, self.horizon)) for kind in KINDS]

    @property
    def newest_first(self) -> list[Day]:
        """The days in the order of a table."""
        return list(reversed(self.days))

    @property
    def told(self) -> str:
        """The last mean beside the level, in words."""
        if not self.days or self.days[-1].mean is None:
            return f"{len(self.days)} sessions are scored; {WINDOW} are needed for a mean."
        inside = f"{100 * self.days[-1].mean:.1f} % of the closes of the last {WINDOW} sessions were inside; "
        if self.deviation is None:
            return f"{inside}{100 * self.level:.0f} % are promised. There are too few sessions to tell chance from fault."
        band = f"{100 * self.level:.0f} \N{PLUS-MINUS SIGN} {100 * self.chance:.1f} % are promised"
        return f"{inside}{band}: {'more than chance' if self.deviation.is_likely_real else 'as chance may have it'}."


def chosen(query: Mapping[str, str]) -> tuple[Basis, int]:
    """Basis and horizon of the page's query; the next close from own bars if it names none that exists."""
    asked = (query.get("basis"), query.get("horizon"))
    return next((kind for kind in KINDS if (kind[0].value, str(kind[1])) == asked), KINDS[0])


def calibration(basis: Basis, horizon: int) -> Calibration:
    """One query."""
    rows = [
        (row["actual_date"], row["count"], row["inside"]) for row in Score.objects.days(basis=basis, horizon=horizon)[:SESSIONS]
    ]
    rows.reverse()
    days = [Day(day, count, inside / count, _mean(rows[: place + 1])) for place, (day, count, inside) in enumerate(rows)]
    chance = chance_of_mean([day.share for day in days], days=WINDOW, horizon=horizon)
    return Calibration(basis, horizon, ForecastConfig().interval_level, days, chance)


def _mean(rows: Sequence[tuple[date, int, int]]) -> float | None:
    """The share of all closes of the last WINDOW sessions of these."""
    last = rows[-WINDOW:]
    return sum(inside for *_, inside in last) / sum(count for _, count, _ in last) if len(last) == WINDOW else None
