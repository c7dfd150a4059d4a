"""A symbol's exchange and currency, an exchange's sessions. The only file that imports exchange_calendars."""

import threading
import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from exchange_calendars import get_calendar
from pandas.errors import Pandas4Warning

# From the library's own code, about the next major release of pandas.
warnings.filterwarnings("ignore", message="Series.values returning an ndarray that drops", category=Pandas4Warning)
warnings.filterwarnings("ignore", category=Pandas4Warning, module=r"exchange_calendars\.")

ALWAYS, FOREX, WEEKDAYS = "24/7", "24/5", "WEEKDAYS"
UNKNOWN_CURRENCY = "XXX"  # ISO 4217: no currency
BAR_SETTLES = timedelta(minutes=30)  # after the close: until then sources may still change the session's bar

# The years for which calendars are built. A calendar costs about 0.1 s whatever its length, so it is built once, whole.
FIRST_DAY, LAST_DAY = date(1960, 1, 1), date(2049, 12, 31)

# Yahoo's suffix -> the exchange's ISO 10383 code, the currency it usually quotes in.
_BY_SUFFIX = {
    "SA": ("BVMF", "BRL"),
    "L": ("XLON", "GBP"),
    "TO": ("XTSE", "CAD"),
    "DE": ("XETR", "EUR"),
    "PA": ("XPAR", "EUR"),
    "AS": ("XAMS", "EUR"),
    "MI": ("XMIL", "EUR"),
    "MC": ("XMAD", "EUR"),
    "LS": ("XLIS", "EUR"),
    "SW": ("XSWX", "CHF"),
    "ST": ("XSTO", "SEK"),
    "T": ("XTKS", "JPY"),
    "HK": ("XHKG", "HKD"),
    "SS": ("XSHG", "CNY"),
    "SZ": ("XSHG", "CNY"),
    "KS": ("XKRX", "KRW"),
    "TW": ("XTAI", "TWD"),
    "AX": ("XASX", "AUD"),
    "NS": ("XBOM", "INR"),
    "BO": ("XBOM", "INR"),
    "MX": ("XMEX", "MXN"),
    "V": ("XTSE", "CAD"),
    "F": ("XFRA", "EUR"),
    "BR": ("XBRU", "EUR"),
    "IR": ("XDUB", "EUR"),
    "VI": ("XWBO", "EUR"),
    "HE": ("XHEL", "EUR"),
    "CO": ("XCSE", "DKK"),
    "OL": ("XOSL", "NOK"),
    "IC": ("XICE", "ISK"),
    "TL": ("XTAL", "EUR"),
    "WA": ("XWAR", "PLN"),
    "PR": ("XPRA", "CZK"),
    "BD": ("XBUD", "HUF"),
    "IS": ("XIST", "TRY"),
    "JO": ("XJSE", "ZAR"),
    "SR": ("XSAU", "SAR"),
    "KQ": ("XKRX", "KRW"),
    "TWO": ("XTAI", "TWD"),
    "SI": ("XSES", "SGD"),
    "KL": ("XKLS", "MYR"),
    "BK": ("XBKK", "THB"),
    "JK": ("XIDX", "IDR"),
    "PS": ("XPHS", "PHP"),
    "NZ": ("XNZE", "NZD"),
    "BA": ("XBUE", "ARS"),
    "SN": ("XSGO", "CLP"),
    "CL": ("XBOG", "COP"),
    "LM": ("XLIM", "PEN"),
}
_BY_INDEX = {
    "^BVSP": ("BVMF", "BRL"),
    "^GSPC": ("XNYS", "USD"),
    "^DJI": ("XNYS", "USD"),
    "^IXIC": ("XNYS", "USD"),
    "^NDX": ("XNYS", "USD"),
    "^RUT": ("XNYS", "USD"),
    "^VIX": ("XNYS", "USD"),
    "^FTSE": ("XLON", "GBP"),
    "^GDAXI": ("XETR", "EUR"),
    "^FCHI": ("XPAR", "EUR"),
    "^N225": ("XTKS", "JPY"),
    "^HSI": ("XHKG", "HKD"),
}
_CRYPTO_QUOTES = ("USD", "EUR", "GBP", "BRL", "JPY", "CAD", "AUD", "KRW", "INR")  # Yahoo's names of coins: BTC-USD, BTC-EUR
_building = threading.Lock()  # the library shares holiday tables between its calendars while it builds one


@dataclass(frozen=True, slots=True)
class _Schedule:
    """The sessions of one exchange, as far as its holidays are known."""

    days: npt.NDArray[np.datetime64]  # (sessions,) datetime64[D], ascending
    closes: npt.NDArray[np.datetime64]  # (sessions,) datetime64[s], UTC


def exchange_of(symbol: str) -> str:
    """ISO 10383 code of the exchange of `symbol`, or "24/7" (crypto), "24/5" (currencies), "WEEKDAYS" (not known)."""
    return _venue(symbol)[0]


def currency_of(symbol: str) -> str:
    """ISO 4217 code that `symbol` is usually quoted in, for sources that do not tell; "XXX" where it is not known."""
    return _venue(symbol)[1]


def last_completed_session(exchange: str, *, now: datetime) -> date:
    """The latest session that has closed at least `BAR_SETTLES` before `now` (tz-aware; ValueError otherwise)."""
    if now.tzinfo is None:
        raise ValueError(f"now must carry a time zone, found {now.isoformat()}")
    day = now.astimezone(UTC).date()  # no session closes on a UTC date before its own
    while not (is_session(exchange, day) and _close(exchange, day) + BAR_SETTLES <= now):
        day -= timedelta(days=1)
    return day


def next_session(exchange: str, *, after: date) -> date:
    """The first session later than `after`."""
    day = after + timedelta(days=1)
    while not is_session(exchange, day):
        day += timedelta(days=1)
    return day


def is_session(exchange: str, day: date) -> bool:
    """Whether the exchange trades on `day`. Every Monday to Friday does where its holidays are not known."""
    return _position(exchange, day) is not None or (not _is_known(exchange, day) and day.weekday() < 5)


def sessions(exchange: str, *, first: date, last: date) -> pd.DatetimeIndex:
    """All sessions from `first` to `last`, both inclusive, as a bars index."""
    known = _schedule(exchange).days
    days = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)
    outside = (days < known[0]) | (days > known[-1])
    trading = np.where(outside, np.is_busday(days), _among(known, days))
    return pd.DatetimeIndex(days[trading], name="date").as_unit("us")


def closed_days(exchange: str, days: pd.DatetimeIndex) -> npt.NDArray[np.bool_]:
    """Which of `days` the exchange is known not to have traded on; none where its holidays are not known."""
    if exchange == WEEKDAYS:
        return np.zeros(len(days), dtype=bool)
    known, asked = _schedule(exchange).days, days.to_numpy().astype("datetime64[D]")
    closed: npt.NDArray[np.bool_] = (known[0] <= asked) & (asked <= known[-1]) & ~_among(known, asked)
    return closed


def _venue(symbol: str) -> tuple[str, str]:
    """Exchange and currency, from the way Yahoo writes symbols."""
    _, dot, suffix = symbol.rpartition(".")
    if symbol.startswith("^"):
        return _BY_INDEX.get(symbol, (WEEKDAYS, UNKNOWN_CURRENCY))
    if symbol.endswith("=X"):  # EURUSD=X, or BRL=X for USDBRL=X
        quote = symbol.removesuffix("=X")[-3:]
        return FOREX, quote if len(quote) == 3 else UNKNOWN_CURRENCY
    if symbol.endswith("=F"):  # Yahoo's futures have bars on exactly the days of the New York Stock Exchange
        return "XNYS", "USD"
    if "-" in symbol and (quote := symbol.rpartition("-")[2]) in _CRYPTO_QUOTES:
        return ALWAYS, quote
    if not dot:
        return "XNYS", "USD"
    return _BY_SUFFIX.get(suffix, (WEEKDAYS, UNKNOWN_CURRENCY))


def _among(known: npt.NDArray[np.datetime64], days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.bool_]:
    """Which of `days` are in `known`, which ascends: that makes it ten times as fast as numpy's isin."""
    found: npt.NDArray[np.bool_] = known[np.searchsorted(known, days).clip(max=len(known) - 1)] == days
    return found


def _is_known(exchange: str, day: date) -> bool:
    days = _schedule(exchange).days
    return bool(days[0] <= np.datetime64(day, "D") <= days[-1])


def _position(exchange: str, day: date) -> int | None:
    """Row of `day` in the exchange's schedule."""
    days = _schedule(exchange).days
    row = int(np.searchsorted(days, np.datetime64(day, "D")))
    return row if row < len(days) and days[row] == np.datetime64(day, "D") else None


def _close(exchange: str, day: date) -> datetime:
    """When session `day` closes; midnight UTC, by when every exchange has, where its hours are not known."""
    row = _position(exchange, day)
    if row is None:
        return datetime.combine(day + timedelta(days=1), time(tzinfo=UTC))
    seconds = int(_schedule(exchange).closes[row].astype(np.int64))
    return datetime.fromtimestamp(seconds, tz=UTC)


def _schedule(exchange: str) -> _Schedule:
    with _building:
        return _built_schedule(exchange)


@cache
def _built_schedule(exchange: str) -> _Schedule:
    calendar = _library_calendar(FOREX if exchange == WEEKDAYS else exchange)
    return _Schedule(
        days=calendar.sessions.to_numpy().astype("datetime64[D]"),
        closes=calendar.closes_nanos.astype("datetime64[ns]").astype("datetime64[s]"),
    )


def _library_calendar(exchange: str) -> Any:
    try:
        return get_calendar(exchange, start=FIRST_DAY, end=LAST_DAY)
    except ValueError:  # this exchange's holidays are known for fewer years
        known = get_calendar(exchange)
        first = max(pd.Timestamp(FIRST_DAY), known.bound_min() or pd.Timestamp(FIRST_DAY))
        last = min(pd.Timestamp(LAST_DAY), known.bound_max() or pd.Timestamp(LAST_DAY))
        return get_calendar(exchange, start=first, end=last)
