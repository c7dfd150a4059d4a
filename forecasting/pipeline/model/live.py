"""The live model: the close of a session under way, from the daily forecast, the price now and how far the price has moved today.

The median is the price now. The width is the scale of the daily forecast, times the root of the share of variance that is left at
this point of the session, times a factor of the day: Andersen & Bollerslev, Intraday Periodicity and Volatility Persistence in
Financial Markets (1997). live_fitting.py fits its coefficients; they are stored with the base model. All moves are log returns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.pipeline.model.adaptation import LARGEST_LOG_FACTOR
from forecasting.pipeline.model.distribution import TAIL_LEVEL
from forecasting.pipeline.model.features import Array
from forecasting.prices.markets import ALWAYS, FOREX, sessions_like

INTERVAL = (0.1, 0.9)  # levels of the published interval; all widths are half of it
LEVELS = (TAIL_LEVEL, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1 - TAIL_LEVEL)
PARTS = (0.0, 0.05, 0.25, 0.5, 0.75)  # elapsed shares of the session at which its parts begin; each has its own online factor
LARGEST_RATIO = 4.0  # larger gaps and ranges, relative to their scale, are clipped to this
LATEST = 0.97  # elapsed share of the session from which its course stands still: hourly bars do not know closing auctions
SMALLEST_FACTOR = 0.3  # lower bound of the factor of the day
GAIN = 0.03  # of the online calibration: log factor per day and unit of coverage error
BETTER_T = -1.65  # one-sided 5 %


@dataclass(frozen=True, slots=True, eq=False)
class Today:
    """What is known of a session under way, one row per forecast; prices in one unit per row."""

    last_close: Array
    open: Array
    high: Array  # until now
    low: Array
    price: Array  # the newest one
    fraction: Array  # share of the session's trading time that is over, at least 0 and below 1

    @property
    def gap(self) -> Array:
        """The opening gap."""
        gap: Array = np.log(self.open / self.last_close)
        return gap

    @property
    def size(self) -> Array:
        """Volatility since the open, from its range and its move: Garman & Klass (1980), Journal of Business 53(1)."""
        reach = np.log(np.maximum(self.high, self.price) / np.minimum(self.low, self.price))
        variance = 0.5 * reach**2 - (2 * math.log(2) - 1) * np.log(self.price / self.open) ** 2
        size: Array = np.sqrt(np.maximum(variance, 0.0))
        return size


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTest:
    """Test on the last days of the fit, which were held back: forecasts at the open beside those of the day before.

    Diebold-Mariano t of the difference of their pinball losses, averaged per day: negative if the price at the open helps.
    """

    days: int
    t: float | None  # None if there are too few days

    @property
    def passed(self) -> bool:
        """Whether forecasts during the session are made."""
        return self.t is not None and self.t <= BETTER_T


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Scale of an exchange's sessions, relative to that of the daily forecast."""

    intercept: float  # half-width from open to close over that of the daily forecast, without a gap
    slope: float  # of the same in `gap_ratio`
    left: float  # size of moves from open to close over those from close to close
    test: LiveTest
    rows: int  # of the fit
    through: date | None  # last session of the fit

    def scale(self, half_width: Array, gap: Array) -> Array:
        """Half-width of the interval from open to close, (rows,)."""
        scale: Array = half_width * (self.intercept + self.slope * gap_ratio(gap, half_width))
        return scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One point of the course of a session."""

    fraction: float  # of the trading time that is over
    elapsed: float  # share of the variance from open to close that is over
    usual: float  # size until now over scale * root of `elapsed`, on average
    response: float  # by how much the width of the rest rises if the size until now is twice the usual one
    levels: tuple[float, ...]  # distances of the quantiles from the median, in half-widths


@dataclass(frozen=True, slots=True)
class Course:
    """How sessions go on after the open: Li (2021) finds the profile stable over time and alike for companies of all sizes."""

    nodes: tuple[Node, ...]  # by fraction, from 0

    def elapsed(self, fraction: Array) -> Array:
        """Share of the variance that is over, linear between the nodes in the root of the fraction; all of it at 1."""
        roots = [*(math.sqrt(node.fraction) for node in self.nodes), 1.0]
        elapsed: Array = np.interp(np.sqrt(fraction), roots, [*(node.elapsed for node in self.nodes), 1.0])
        return elapsed

    def half_width(self, scale: Array, size: Array, elapsed: Array) -> Array:
        """Half-width of the rest of the session, (rows,); `size`: of the moves since the open."""
        expected = scale * np.sqrt(elapsed) * self._at(elapsed, [node.usual for node in self.nodes])
        ratio = np.divide(size, expected, out=np.ones_like(size), where=expected > 0).clip(max=LARGEST_RATIO)
        factor = 1 + self._at(elapsed, [node.response for node in self.nodes]) * (ratio - 1)
        half_width: Array = scale * np.sqrt(1 - elapsed) * np.maximum(factor, SMALLEST_FACTOR)
        return half_width

    def levels(self, elapsed: Array) -> Array:
        """Distances of the quantiles from the median in half-widths, (rows, levels)."""
        return np.column_stack([self._at(elapsed, each) for each in zip(*(node.levels for node in self.nodes), strict=True)])

    def _at(self, elapsed: Array, values: Sequence[float]) -> Array:
        at: Array = np.interp(elapsed, [node.elapsed for node in self.nodes], values)
        return at


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveForecast:
    """A forecast of today's close, in units of price; levels as in the daily forecast, "0.01" ... "0.99"."""

    quantiles: dict[str, float]
    price: float  # the median
    reference: dict[str, float]  # the same levels without the knowledge of today's moves, for the track record


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """Sessions of one exchange, as a function of what is known of them."""

    opening: Opening
    course: Course
    around_the_clock: bool = False

    def moves(self, today: Today, half_width: Array) -> Array:
        """Quantiles of LEVELS of the move from the price now to the close, (rows, levels).

        `half_width`: of the daily forecast's interval, log return, (rows,).
        """
        elapsed = self._elapsed(today.fraction)
        width = self.course.half_width(self.opening.scale(half_width, today.gap), today.size, elapsed)
        moves: Array = width[:, None] * self.course.levels(elapsed)
        return moves

    def left(self, fraction: Array) -> Array:
        """Size of the moves from now to the close over those from close to close, if nothing is known of today, (rows,)."""
        left: Array = self.opening.left * np.sqrt(1 - self._elapsed(fraction))
        return left

    def _elapsed(self, fraction: Array) -> Array:
        """Share of the variance from open to close that is over, (rows,)."""
        return fraction if self.around_the_clock else self.course.elapsed(fraction)


# Coins and currencies trade around the clock: no gap, and as much variance in every hour.
AROUND_THE_CLOCK = Opening(intercept=1.0, slope=0.0, left=1.0, test=LiveTest(days=0, t=None), rows=0, through=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """The course of a session, and the openings by exchange. An exchange that has not passed the test has no forecasts."""

    course: Course
    openings: dict[str, Opening]
    hours_through: date | None  # last session that the course was fitted on; None if there were none

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LiveModel":
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError."""
        nodes = (Node(**(node | {"levels": tuple(node["levels"])})) for node in values["nodes"])
        openings = {
            exchange: Opening(**(each | {"test": LiveTest(**each["test"]), "through": date.fromisoformat(each["through"])}))
            for exchange, each in values["openings"].items()
        }
        through = values["hours_through"]
        return cls(course=Course(tuple(nodes)), openings=openings, hours_through=through and date.fromisoformat(through))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "nodes": [asdict(node) | {"levels": list(node.levels)} for node in self.course.nodes],
            "openings": {
                exchange: asdict(each) | {"through": each.through and each.through.isoformat()}
                for exchange, each in self.openings.items()
            },
            "hours_through": self.hours_through and self.hours_through.isoformat(),
        }

    @property
    def through(self) -> date | None:
        """The last session that any fit has seen; None without a fit."""
        days = [self.hours_through, *(each.through for each in self.openings.values())]
        return max((day for day in days if day), default=None)

    def of(self, exchange: str) -> LiveSession | None:
        """The sessions of an exchange; None if it has no opening, or one that has not passed the test."""
        if exchange in (ALWAYS, FOREX):
            return LiveSession(opening=AROUND_THE_CLOCK, course=self.course, around_the_clock=True)
        known = self.openings.get(sessions_like(exchange))
        return LiveSession(opening=known, course=self.course) if known and known.test.passed else None

    def forecast(
        self,
        daily: Mapping[str, float],
        *,
        last_close: float,
        exchange: str,
        price: float,
        open: float,
        high: float,
        low: float,
        fraction: float,
        factor: float = 1.0,
        reference: Mapping[str, float] | None = None,
    ) -> LiveForecast | None:
        """One forecast during the session. `factor`: of the online calibration, see `next_live_factor`.

        `daily`: the quantiles of the session's daily forecast, level to price. `reference`: those that it is compared with.
        None if the exchange has no forecasts, if the session is over, or if the daily forecast has no interval.
        """
        session, half_width = self.of(exchange), daily_half_width(daily)
        if session is None or half_width is None or not 0 <= fraction < 1:
            return None
        today = Today(*(np.array([value]) for value in (last_close, open, high, low, price, min(fraction, LATEST))))
        prices = price * np.exp(factor * session.moves(today, np.array([half_width]))[0])
        quantiles = {str(level): value for level, value in zip(LEVELS, prices.tolist(), strict=True)}
        left = float(session.left(today.fraction)[0])
        return LiveForecast(
            quantiles={level: quantiles[level] for level in daily},
            price=price,
            reference={level: price * (value / last_close) ** left for level, value in (reference or {}).items()},
        )


def gap_ratio(gap: Array, half_width: Array) -> Array:
    """Size of the opening gap in half-widths of the daily forecast, (rows,)."""
    ratio: Array = np.minimum(np.abs(gap) / half_width, LARGEST_RATIO)
    return ratio


def daily_half_width(daily: Mapping[str, float]) -> float | None:
    """Half the width of a forecast's interval as a log return; None if it has none."""
    low, high = (daily.get(str(level), 0.0) for level in INTERVAL)
    return math.log(high / low) / 2 if 0 < low < high else None


def parts_of(fraction: Array) -> npt.NDArray[np.intp]:
    """The parts of the session, indices of PARTS, (rows,)."""
    return np.searchsorted(PARTS, fraction, side="right") - 1


def next_live_factor(factor: float, inside: float) -> float:
    """The factor on the width after a day, for one exchange and one part of the session.

    `factor`: that day's; `inside`: the share of its forecasts of that part whose interval held the close. Adaptive conformal
    inference on the log of the factor, as in adaptation.py; symbols share a factor, because their days have much in common.
    """
    log_factor = math.log(factor) + GAIN * (INTERVAL[1] - INTERVAL[0] - inside)
    return math.exp(min(max(log_factor, -LARGEST_LOG_FACTOR), LARGEST_LOG_FACTOR))
