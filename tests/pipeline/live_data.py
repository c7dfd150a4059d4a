"""Simulated hourly bars of New York whose course is known, and a live model with made-up coefficients."""

from datetime import date, timedelta
from statistics import NormalDist

import numpy as np
import pandas as pd

from forecasting.pipeline.model.live import LEVELS, Course, LiveModel, LiveTest, Node, Opening
from forecasting.prices.calendars import sessions
from forecasting.prices.schedules import schedule_of

GAP_SHARE = 0.25  # of the variance from close to close
HOURS = {9: 0.3, 10: 0.2, 11: 0.1, 12: 0.1, 13: 0.05, 14: 0.1, 15: 0.15}  # shares of the variance from open to close
STEPS = 30  # prices of an hour
NORMAL_LEVELS = tuple(NormalDist().inv_cdf(level) / NormalDist().inv_cdf(0.9) for level in LEVELS)


def hourly_bars(
    count: int = 400, *, seed: int = 1, first: date = date(2018, 1, 2), volatility: float = 0.015, turbulence: float = 0.5
) -> pd.DataFrame:
    """Random walks on real sessions, half days included. Days differ in their volatility while trading, by `turbulence` in logs."""
    rng = np.random.default_rng(seed)
    rows, price = [], 50.0
    for day in sessions("XNYS", first=first, last=first + timedelta(days=2 * count + 30))[:count]:
        price *= np.exp(np.sqrt(GAP_SHARE) * volatility * rng.standard_normal())
        scale = np.sqrt(1 - GAP_SHARE) * volatility * np.exp(turbulence * rng.standard_normal() - turbulence**2)
        for hour in range(9, closing_hour(day.date())):
            path = scale * np.sqrt(HOURS[hour] / STEPS) * rng.standard_normal(STEPS).cumsum()
            prices = price * np.exp(np.concatenate([[0.0], path]))
            rows.append(
                (day + pd.Timedelta(hours=hour), price, prices.max(), prices.min(), prices[-1], 1000.0 * rng.integers(1, 9))
            )
            price = prices[-1]
    bars = pd.DataFrame(rows, columns=["start", "open", "high", "low", "close", "volume"])
    return bars.astype({"start": "datetime64[us]"}).set_index("start").assign(traded=1.0)


def closing_hour(day: date) -> int:
    """16, or 13 on half days."""
    return pd.Timestamp(schedule_of("XNYS").close(day)).tz_convert("America/New_York").hour


def scrambled(hours: pd.DataFrame, after: pd.Timestamp, *, seed: int = 9) -> pd.DataFrame:
    """A copy with other prices in all bars that had not ended at `after`."""
    later = pd.DatetimeIndex(hours.index).floor("h") + pd.Timedelta(hours=1) > after
    factors = np.where(later, np.exp(0.01 * np.random.default_rng(seed).standard_normal(len(hours))), 1.0)
    return hours.assign(**{name: hours[name] * factors for name in ("open", "high", "low", "close")})


def live_model(*, t: float | None = -5.0, through: date = date(2018, 6, 29)) -> LiveModel:
    """Coefficients of New York and Tokyo, made up; with the default t both have passed the test."""
    test = LiveTest(days=200, t=t)
    opening = Opening(intercept=0.8, slope=0.25, left=0.85, test=test, rows=5_000, through=through)
    nodes = (
        Node(fraction=0.0, elapsed=0.0, usual=1.0, response=0.0, levels=NORMAL_LEVELS),
        Node(fraction=0.25, elapsed=0.5, usual=0.75, response=0.3, levels=NORMAL_LEVELS),
        Node(fraction=0.85, elapsed=0.9, usual=0.8, response=0.5, levels=tuple(1.1 * level for level in NORMAL_LEVELS)),
    )
    return LiveModel(course=Course(nodes), openings={"XNYS": opening, "XTKS": opening}, hours_through=through)
