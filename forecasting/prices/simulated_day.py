"""The course of a simulated session from open to close. Quotes show the part until now; the whole of it is the session's bar.

Given its variance, the log price is a Brownian bridge from open to close. The variance is drawn from its distribution given the
move, so that moves with fat tails have no trend: no line through the move so far forecasts the close better than the price now.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TAIL = 5.0  # degrees of freedom of the returns
NEWS_VOLUME = 0.3  # by which log volume rises with the size of a session's return, in units of its volatility
STEPS = 390  # trades in a session
CANDIDATES = 64  # bridges, of which that with the extremes nearest to the session's high and low is taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A session's bar, and what is known before it."""

    last_close: float
    open: float
    high: float
    low: float
    close: float
    volume: float
    volatility: float  # of the log return from the last close
    trading_volatility: float  # of the log return from open to close

    def until(self, share: float, rng: np.random.Generator) -> dict[str, float]:
        """Price, open, high, low and volume when `share` (0 to 1) of the session has passed; at 1 those of the bar.

        The same generator gives the same course. Price and move so far do not tell what follows; where the price is between high
        and low so far tells a little, because the bar's extremes are given: a line through it has 1 % less error than the price.
        """
        course = self._course(rng)
        step = math.floor(share * STEPS)
        seen = course[: step + 1]
        prices = {"price": course[step], "open": self.open, "high": seen.max(), "low": seen.min()}
        return {name: round(float(price), 2) for name, price in prices.items()} | {"volume": float(self._volumes(course)[step])}

    def _course(self, rng: np.random.Generator) -> Array:
        """Prices of the trades, (STEPS + 1,). It reaches high and low once, at the extremes of its bridge."""
        opened, high, low, closed = np.log([self.open, self.high, self.low, self.close])
        passed = np.linspace(0.0, 1.0, STEPS + 1)
        walks = np.cumsum(rng.standard_normal((CANDIDATES, STEPS)), axis=1) / math.sqrt(STEPS)
        walks = np.pad(walks, ((0, 0), (1, 0)))
        bridges = opened + (closed - opened) * passed + self._spread(closed - opened, rng) * (walks - passed * walks[:, -1:])
        missed = np.abs(bridges.max(axis=1) - high) + np.abs(bridges.min(axis=1) - low)
        course: Array = bridges[missed.argmin()].clip(low, high)
        inside = course[1:-1]
        highest, lowest = inside.argmax(), inside.argmin()
        inside[highest], inside[lowest] = high, low
        return np.exp(course)

    def _spread(self, move: float, rng: np.random.Generator) -> float:
        """The session's volatility, given its move: the move is normal given the spread, and has Student's t distribution over all.

        Source: Gelman et al., Bayesian Data Analysis (2013), ch. 17: the precisions of t-distributed data have a gamma posterior.
        """
        scale = self.trading_volatility * math.sqrt((TAIL - 2) / TAIL)
        precision = rng.gamma((TAIL + 1) / 2) / ((TAIL + (move / scale) ** 2) / 2)
        return scale / math.sqrt(precision)

    def _volumes(self, course: Array) -> Array:
        """Volume until each trade: evenly over the session, and with the size of the return so far as in the bar."""
        news = np.abs(np.log(course / self.last_close)) / self.volatility
        volumes = self.volume * np.linspace(0.0, 1.0, STEPS + 1) * np.exp(NEWS_VOLUME * (news - news[-1]))
        return np.round(np.maximum.accumulate(volumes).clip(max=self.volume))
