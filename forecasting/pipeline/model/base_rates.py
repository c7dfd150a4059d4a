"""Base rates of rising days by class of symbols (see rate_classes.py): the probability of a rise if nothing else is known.

A day of a class is the share of its symbols that rose, among those that moved: symbols share market days, so they are averaged
first. The mean over the days is shrunk to 0.5. The rates are stored with the base model.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd

HELD_BACK = 0.3  # share of the days, the last ones, that tests the rate of the others
FEWEST_DAYS = 250  # of a class; fewer have no rate
BETTER_T, WORSE_T = -1.65, 1.65  # one-sided 5 %
COIN = 0.25  # Brier score of a probability of 0.5

History = tuple[str, pd.DataFrame]  # class and bars of a symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTest:
    """Test on the last days of the fit, by a rate that had not seen them.

    Diebold-Mariano t of the Brier score minus that of 0.5, averaged per day: negative if the rate is better.
    """

    first: date  # of the days held back
    days: int
    rate: float  # of the days before
    t: float | None  # None if the rate is 0.5

    @property
    def passed(self) -> bool:
        """Whether the class has a base rate. Others have 0.5."""
        return self.t is not None and self.t <= BETTER_T


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRate:
    """The base rate of a class."""

    rate: float  # shrunk
    share: float  # as it was
    test: RateTest
    days: int  # of the fit
    moves: int  # of all its symbols
    first: date
    through: date

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ClassRate":
        """The inverse of `as_json`."""
        days = {name: date.fromisoformat(values[name]) for name in ("first", "through")}
        test = RateTest(**values["test"] | {"first": date.fromisoformat(values["test"]["first"])})
        return cls(**{**values, **days, "test": test})

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        test = asdict(self.test) | {"first": self.test.first.isoformat()}
        return asdict(self) | {"first": self.first.isoformat(), "through": self.through.isoformat(), "test": test}


@dataclass(frozen=True, slots=True)
class BaseRates:
    """Base rates by class, of those with enough days. A class that has not passed its test has no effect."""

    classes: dict[str, ClassRate]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "BaseRates":
        """The inverse of `as_json`. Raises KeyError, TypeError or ValueError."""
        return cls({name: ClassRate.from_json(each) for name, each in values["classes"].items()})

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"classes": {name: each.as_json() for name, each in self.classes.items()}}

    def extended_by(self, other: "BaseRates") -> "BaseRates":
        """Of each class, the fit on more moves."""
        both = {**self.classes, **other.classes}
        return BaseRates({name: self.classes[name] if self._knows_more(name, each) else each for name, each in both.items()})

    def _knows_more(self, name: str, other: ClassRate) -> bool:
        return name in self.classes and self.classes[name].moves > other.moves

    def of(self, name: str | None) -> ClassRate | None:
        """The base rate of a class; None if it has none or has not passed its test."""
        known = self.classes.get(name or "")
        return known if known and known.test.passed else None


def fit_rates(histories: Iterable[History]) -> BaseRates:
    """The base rates of these histories (contract frames, see bars.py), read one at a time."""
    days = daily_shares(histories)
    return BaseRates({name: _fitted(each) for name, each in sorted(days.items()) if len(each) >= FEWEST_DAYS})


def daily_shares(histories: Iterable[History]) -> dict[str, pd.DataFrame]:
    """By class, a row per day on which any of its symbols moved: the `share` that `rose`, and how many `moved`; ascending."""
    days: dict[str, pd.DataFrame] = {}
    for name, bars in histories:
        counts = _counts(bars["close"])
        days[name] = days[name].add(counts, fill_value=0) if name in days else counts
    return {name: each.assign(share=each["rose"] / each["moved"]) for name, each in days.items()}


def _counts(closes: pd.Series) -> pd.DataFrame:
    """By day with a move: 1 in `moved`, and in `rose` 1 or 0."""
    change = closes.diff()
    change = change[change.notna() & (change != 0)]
    return pd.DataFrame({"rose": (change > 0).astype(float), "moved": 1.0}, index=change.index)


def shrunk(share: "pd.Series[float]") -> float:
    """The mean of daily shares, shrunk to 0.5 by t² / (1 + t²), t being that of its distance from 0.5.

    This factor has the smallest mean squared error if t is that of the true mean: Thompson, Some Shrinkage Techniques for
    Estimating the Mean (1968).
    """
    distance, variance = float(share.mean()) - 0.5, float(share.var()) / len(share)
    return 0.5 + distance * distance**2 / (distance**2 + variance) if distance else 0.5


def brier_gain(share: "pd.Series[float]", rate: float) -> "pd.Series[float]":
    """By day, the mean Brier score of `rate` minus that of 0.5, given the share that rose."""
    return rate**2 - COIN + (1 - 2 * rate) * share


def dm_t(gain: "pd.Series[float]") -> float | None:
    """Diebold-Mariano t of the mean of daily gains; None if it is undefined."""
    spread = float(gain.std())
    return float(gain.mean()) / (spread / math.sqrt(len(gain))) if spread > 0 else None


def speaks_against(closes: pd.Series, rate: float) -> bool:
    """Whether 0.5 would have been significantly better than `rate` on the days of these closes."""
    t = dm_t(brier_gain(_counts(closes)["rose"], rate))
    return t is not None and t >= WORSE_T


def _fitted(days: pd.DataFrame) -> ClassRate:
    cut = round(len(days) * (1 - HELD_BACK))
    rate, later = shrunk(days["share"].iloc[:cut]), days.iloc[cut:]
    return ClassRate(
        rate=shrunk(days["share"]),
        share=float(days["share"].mean()),
        test=RateTest(first=later.index[0].date(), days=len(later), rate=rate, t=dm_t(brier_gain(later["share"], rate))),
        days=len(days),
        moves=int(days["moved"].sum()),
        first=days.index[0].date(),
        through=days.index[-1].date(),
    )
