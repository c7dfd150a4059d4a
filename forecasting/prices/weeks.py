"""Trading weeks of markets whose holidays are not all known: from the tables, or inferred from the market's bars."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.prices.markets import ALWAYS, FOREX, TABLES, WEEKDAYS

Days = npt.NDArray[np.datetime64]  # datetime64[D]
Mask = npt.NDArray[np.bool_]

LEARNED = "WEEK:"  # prefix of the code of an unknown market with an inferred week, such as "WEEK:MTWT--S"
WEEKDAY_LETTERS, MONDAY_TO_FRIDAY = "MTWTFSS", "MTWTF--"
WEEKDAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LEARNED_FROM = 120  # newest bars used to infer a week: about half a year, so that a change shows within months
LEARNED_AT_LEAST = 60  # minimum number of bars; with fewer an illiquid share may lack a weekday by chance
TRADED_SHARE = 0.25  # minimum share of the busiest weekday's bars; special sessions at weekends are fewer

NEVER = date.max
YEARS = range(1960, 2050)  # years whose holidays are listed
FEASTS = {"al_fitr": (0, 1, 2), "al_adha": (-1, 0, 1, 2)}  # closed days of exchanges with `eid`, relative to the first day


@dataclass(frozen=True, slots=True)
class Week:
    """The trading weekdays of a market and its certain holidays.

    `spans`: start date and trading days without holidays, ascending; the first span also applies to earlier dates.
    `closes` (local time) and `timezone` are None if the hours are unknown. `complete`: there are no other holidays.
    """

    spans: tuple[tuple[date, np.busdaycalendar], ...]
    timezone: ZoneInfo | None = None
    closes: time | None = None
    complete: bool = False

    def trades(self, days: Days) -> Mask:
        """Mask of the `days` that are sessions by weekday and certain holidays."""
        traded: Mask = np.is_busday(days, busdaycal=self.spans[0][1])
        for since, weekdays in self.spans[1:]:
            later = days >= np.datetime64(since, "D")
            traded[later] = np.is_busday(days[later], busdaycal=weekdays)
        return traded

    def is_closed(self, days: Days) -> Mask:
        """Mask of the `days` that are certainly not sessions."""
        closed: Mask = ~self.trades(days) & (days >= np.datetime64(self.spans[0][0], "D"))
        return closed

    def open(self, day: date) -> datetime | None:
        """Opening time of session `day`: midnight UTC if the market trades all day; None if the hours are unknown."""
        return datetime.combine(day, time(tzinfo=UTC)) if self.complete else None

    def close(self, day: date) -> datetime:
        """Closing time of session `day`; if the hours are unknown midnight UTC, when every market has closed."""
        if self.closes is None:
            return datetime.combine(day + timedelta(days=1), time(tzinfo=UTC))
        return datetime.combine(day, self.closes, tzinfo=self.timezone)


def is_unknown(exchange: str) -> bool:
    """Whether the code stands for a market that is in no table."""
    return exchange == WEEKDAYS or exchange.startswith(LEARNED)


def week_of(days: pd.DatetimeIndex) -> str:
    """The code of an unknown market with bars on these days (ascending): "WEEKDAYS" unless they show another week."""
    newest = days[-LEARNED_FROM:]
    counts = np.bincount(newest.day_of_week, minlength=7)
    traded = counts >= TRADED_SHARE * counts.max()
    shown = "".join(letter if each else "-" for letter, each in zip(WEEKDAY_LETTERS, traded, strict=True))
    return WEEKDAYS if len(newest) < LEARNED_AT_LEAST or shown == MONDAY_TO_FRIDAY else LEARNED + shown


def trading_days(learned: str) -> str:
    """The weekdays of an inferred code, such as "Mon Tue Wed Thu Sun"."""
    return " ".join(name for name, letter in zip(WEEKDAY_NAMES, learned.removeprefix(LEARNED), strict=True) if letter != "-")


@cache
def week(exchange: str) -> Week:
    """The week of an exchange or market code. If it is in no table: Monday to Friday, without certain closed days."""
    if exchange in (ALWAYS, FOREX):
        return Week(((date.min, np.busdaycalendar("1111111" if exchange == ALWAYS else "1111100")),), complete=True)
    if exchange not in TABLES["weeks"]:
        letters = exchange.removeprefix(LEARNED) if exchange.startswith(LEARNED) else MONDAY_TO_FRIDAY
        return Week(((NEVER, np.busdaycalendar([letter != "-" for letter in letters])),))
    table = TABLES["weeks"][exchange]
    holidays = np.array([*_yearly(table["holidays"]), *_feasts(closed=table.get("eid", False))], dtype="datetime64[D]")
    spans = tuple((span["since"], np.busdaycalendar(span["days"], holidays)) for span in table["spans"])
    return Week(spans, ZoneInfo(table["timezone"]), table["closes"])


def _yearly(holidays: list[str]) -> Iterator[str]:
    return (f"{year}-{holiday}" for year in YEARS for holiday in holidays)


def _feasts(*, closed: bool) -> Iterator[date]:
    """The closed days of both feasts, in the years listed in the table."""
    for feast, days in FEASTS.items() if closed else ():
        yield from (first + timedelta(days=day) for first in TABLES["eid"][feast] for day in days)
