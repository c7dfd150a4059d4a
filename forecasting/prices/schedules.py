"""Sessions of an exchange and their hours. The only file that imports exchange_calendars."""

import threading
import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
from exchange_calendars import tase_holidays
from exchange_calendars.calendar_utils import _default_calendar_factories
from exchange_calendars.pandas_extensions.offsets import OrthodoxEaster
from pandas.errors import Pandas4Warning

from forecasting.prices.markets import sessions_like
from forecasting.prices.weeks import Days, Mask, Week, week

# The library's code is not yet ready for the next major release of pandas.
warnings.filterwarnings("ignore", message="Series.values returning an ndarray that drops", category=Pandas4Warning)
warnings.filterwarnings("ignore", category=Pandas4Warning, module=r"exchange_calendars\.")

# pandas 3.1 calls `_add_datetime`; these classes define it under its old name, `_apply`. Without this alias the calendars of
# Athens and Bucharest cannot be built, and Jewish holidays are wrong.
for _offset in (OrthodoxEaster, tase_holidays._HolidayOffset, tase_holidays._YomKippurEveObserved):
    _offset._add_datetime = _offset._apply

# The calendar classes, because the library's `get_calendar` caches whole calendars, each with megabytes of unused data.
_LIBRARY = _default_calendar_factories

# Range of the calendars. Building one takes about 0.1 s for any length, so each is built once for the whole range.
FIRST_DAY, LAST_DAY = np.datetime64("1960-01-01"), np.datetime64("2049-12-31")
_NONE = np.array([], dtype="datetime64[D]")

Moments = npt.NDArray[np.datetime64]  # (sessions,) datetime64[s], UTC

_schedules: dict[str, "Schedule"] = {}
_building = threading.Lock()  # the library's calendars share holiday tables, which it changes while it builds one


@dataclass(frozen=True, slots=True)
class Schedule:
    """The sessions of one exchange. From `first` to `last`, its holidays are known and `days` lists all sessions.

    Outside of that range the trading week decides.
    """

    week: Week
    first: np.datetime64
    last: np.datetime64
    days: Days  # (sessions,) ascending
    opens: Moments  # if empty, the week's opening time applies
    closes: Moments  # if empty, the week's closing time applies
    rest_starts: Moments  # of lunch breaks; NaT in sessions without one
    rest_ends: Moments
    timezone: ZoneInfo  # UTC if it is unknown

    def knows(self, days: Days) -> Mask:
        """Mask of the `days` in the years whose holidays are known."""
        known: Mask = (self.first <= days) & (days <= self.last)
        return known

    def trades(self, days: Days) -> Mask:
        """Mask of the `days` that are sessions."""
        known = self.knows(days)
        traded = np.zeros(len(days), dtype=bool) if known.all() else self.week.trades(days)
        traded[known] = self._among_sessions(days[known])
        return traded

    def is_closed(self, days: Days) -> Mask:
        """Mask of the `days` that are certainly not sessions."""
        known = self.knows(days)
        closed = np.zeros(len(days), dtype=bool) if known.all() else self.week.is_closed(days)
        closed[known] = ~self._among_sessions(days[known])
        return closed

    def close(self, day: date) -> datetime:
        """Closing time of session `day`."""
        return self._time(self.closes, day) or self.week.close(day)

    def open(self, day: date) -> datetime | None:
        """Opening time of session `day`; None if it is unknown."""
        return self._time(self.opens, day) or self.week.open(day)

    def rest(self, day: date) -> tuple[datetime, datetime] | None:
        """Start and end of the lunch break of session `day`; None if it has none."""
        start, end = self._time(self.rest_starts, day), self._time(self.rest_ends, day)
        return (start, end) if start and end else None

    def local_date(self, moment: datetime) -> date:
        """The exchange's date at `moment`."""
        return moment.astimezone(self.timezone).date()

    def closed_between(self, first: datetime, last: datetime) -> list[date]:
        """The last session that closed at or before `first`, and all that closed after it, until `last` inclusive.

        Empty if the closing times are unknown.
        """
        times = [np.datetime64(int(moment.timestamp()), "s") for moment in (first, last)]
        before, until = np.searchsorted(self.closes, times, side="right")
        days: list[date] = self.days[before - 1 : until].tolist() if before else []
        return days

    def _time(self, times: Moments, day: date) -> datetime | None:
        row = int(np.searchsorted(self.days, np.datetime64(day, "D")))
        if row >= len(times) or self.days[row] != np.datetime64(day, "D") or np.isnat(times[row]):
            return None
        return datetime.fromtimestamp(int(times[row].astype(np.int64)), tz=UTC)

    def _among_sessions(self, days: Days) -> Mask:
        """Mask of the sessions among `days`, all of known years. A binary search is ten times as fast as numpy's isin."""
        if not len(days):
            return np.zeros(0, dtype=bool)
        found: Mask = self.days[np.searchsorted(self.days, days).clip(max=len(self.days) - 1)] == days
        return found


def schedule_of(exchange: str) -> Schedule:
    """The schedule of an exchange, built at the first call."""
    code = sessions_like(exchange)
    if code not in _schedules:
        with _building:
            if code not in _schedules:
                _schedules[code] = _built(code)
    return _schedules[code]


def _built(exchange: str) -> Schedule:
    if exchange == "XTAE":
        return _of_tel_aviv()
    if exchange not in _LIBRARY or week(exchange).complete:
        return _of_week(exchange, first=LAST_DAY, last=FIRST_DAY, days=_NONE)
    library = _LIBRARY[exchange]
    first = max(pd.Timestamp(FIRST_DAY), library.bound_min() or pd.Timestamp(FIRST_DAY))
    last = min(pd.Timestamp(LAST_DAY), library.bound_max() or pd.Timestamp(LAST_DAY))
    calendar = library(start=first, end=last)
    return Schedule(
        week(exchange),
        np.datetime64(first, "D"),
        np.datetime64(last, "D"),
        days=calendar.sessions.to_numpy().astype("datetime64[D]"),
        opens=_moments(calendar.opens_nanos),
        closes=_moments(calendar.closes_nanos),
        rest_starts=_moments(calendar.break_starts_nanos),
        rest_ends=_moments(calendar.break_ends_nanos),
        timezone=calendar.tz,
    )


def _moments(nanoseconds: npt.NDArray[np.int64]) -> Moments:
    return nanoseconds.astype("datetime64[ns]").astype("datetime64[s]")


def _of_week(exchange: str, *, first: np.datetime64, last: np.datetime64, days: Days) -> Schedule:
    """A schedule whose hours are those of the trading week."""
    own = week(exchange)
    return Schedule(own, first, last, days, _NONE, _NONE, _NONE, _NONE, timezone=own.timezone or ZoneInfo("UTC"))


def _of_tel_aviv() -> Schedule:
    """Built from the library's holidays: it cannot build a calendar that begins before 2026, with the former trading week."""
    library = _LIBRARY["XTAE"](start=date(2026, 1, 5), end=pd.Timestamp(LAST_DAY))
    rules = library.regular_holidays.holidays(pd.Timestamp(FIRST_DAY), pd.Timestamp(LAST_DAY))
    holidays = rules.append(pd.DatetimeIndex(library.adhoc_holidays)).to_numpy().astype("datetime64[D]")
    days = np.arange(FIRST_DAY, LAST_DAY + 1)
    traded = days[week("XTAE").trades(days) & ~np.isin(days, holidays)]
    return _of_week("XTAE", first=FIRST_DAY, last=LAST_DAY, days=traded)
