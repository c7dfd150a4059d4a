"""Hourly bars of New York as traded, in SYMBOL.csv files: start,open,high,low,close,volume. Only backtests and fits use them.

`start` is New York time, such as 2015-03-02T10:00; the bar of 09:00 begins at the open and ends at 10:00. Splits are in a file of
their own, with the columns symbol,date,ratio: from that date on there are `ratio` shares for each earlier one.
"""

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting.prices.bars import COLUMNS, PRICES
from forecasting.prices.schedules import schedule_of

EXCHANGE, TIME_ZONE = "XNYS", ZoneInfo("America/New_York")
HOUR, UNIT = pd.Timedelta(hours=1), "datetime64[us]"


class HourlyFileError(ValueError):
    """A file of hourly bars or of splits cannot be used; the message names it, and what was found."""


def read_splits(file: Path) -> pd.DataFrame:
    """Columns symbol, date and ratio. Raises HourlyFileError."""
    splits = _read(file, ("symbol", "date", "ratio"), dates="date")
    if not (splits["ratio"] > 0).all():
        raise HourlyFileError(f"{file.name} has a ratio that is not above zero; 7 stands for seven shares for one.")
    return splits


def read_hours(file: Path, splits: pd.DataFrame | None = None) -> pd.DataFrame:
    """Bars in units of the newest prices, indexed by their start, with `traded`: the factor back to prices as traded.

    Raises HourlyFileError for missing columns, values that are not positive prices, and bars that are out of order.
    """
    bars = _read(file, ("start", *COLUMNS), dates="start").set_index("start")[list(COLUMNS)].astype(float)
    if not (bars.index.is_monotonic_increasing and bars.index.is_unique):
        raise HourlyFileError(f"{file.name} has bars that are out of order or twice in it.")
    if not (np.isfinite(bars).all(axis=None) and (bars[list(PRICES)] > 0).all(axis=None)):
        raise HourlyFileError(f"{file.name} has prices that are missing or not above zero.")
    factor = np.ones(len(bars))
    own = splits[splits["symbol"] == file.stem.upper()] if splits is not None else pd.DataFrame({"date": [], "ratio": []})
    for day, ratio in zip(own["date"], own["ratio"], strict=True):
        factor[bars.index < day] *= ratio
    adjusted = bars[list(PRICES)].div(factor, axis=0)
    reach = {"high": adjusted.max(axis=1), "low": adjusted.min(axis=1)}  # an open or a close may lie outside by a rounding error
    return adjusted.assign(**reach, volume=bars["volume"] * factor, traded=factor)


def daily_bars(hours: pd.DataFrame) -> pd.DataFrame:
    """One bar a day (see bars.py for the columns), from all bars of the day."""
    days = hours.groupby(_days(hours))
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return days[list(COLUMNS)].agg(how).rename_axis("date")


def moments(hours: pd.DataFrame) -> pd.DataFrame:
    """What was known at the open and at each full hour until the close, one row each, ascending.

    Columns: `session`, `known_until` (New York time), `fraction` of the trading time that is over, `open`, `high`, `low` and
    `price` from bars that had ended by then, and `traded`. At the open, only the first price is known. Days that are no
    sessions of the calendar have no rows.
    """
    grid = _grid(_days(hours).unique())
    known = pd.merge_asof(grid, _ended(hours), on="known_until", by="session")
    first = hours[["open", "traded"]].groupby(hours.index).first().reindex(grid["known_until"].dt.floor("h"))
    for name in ("open", "high", "low", "price", "traded"):
        opening = first["traded" if name == "traded" else "open"].to_numpy()
        known[name] = known[name].where(grid["fraction"] > 0, opening)
    return known.dropna(subset=["price"]).reset_index(drop=True)


def _ended(hours: pd.DataFrame) -> pd.DataFrame:
    """What was known when each bar had ended."""
    session = _days(hours)
    by_day = hours.groupby(session)
    known = {"open": by_day["open"].transform("first"), "high": by_day["high"].cummax(), "low": by_day["low"].cummin()}
    ends = pd.DatetimeIndex(hours.index).floor("h") + HOUR
    return hours.assign(session=session, known_until=ends, price=hours["close"], **known)[
        ["session", "known_until", "open", "high", "low", "price", "traded"]
    ].reset_index(drop=True)


def _grid(days: pd.DatetimeIndex) -> pd.DataFrame:
    """The open and the full hours before the close of each day that is a session of the calendar."""
    schedule = schedule_of(EXCHANGE)
    held = np.isin(schedule.days, days.to_numpy().astype("datetime64[D]"))
    opens, closes = (_local(times[held]) for times in (schedule.opens, schedule.closes))
    rows = [
        (opening.normalize(), moment, (moment - opening) / (close - opening))
        for opening, close in zip(opens, closes, strict=True)
        for moment in (opening, *pd.date_range(opening.ceil("h"), close, freq="h", inclusive="left"))
    ]
    return pd.DataFrame(rows, columns=["session", "known_until", "fraction"]).astype({"session": UNIT, "known_until": UNIT})


def _local(times: npt.NDArray[np.datetime64]) -> pd.DatetimeIndex:
    """Times in UTC as times of New York without a zone."""
    return pd.DatetimeIndex(times, tz="UTC").tz_convert(TIME_ZONE).tz_localize(None)


def _days(hours: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(hours.index).normalize()


def _read(file: Path, columns: tuple[str, ...], *, dates: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(file, parse_dates=[dates])
    except (OSError, ValueError) as error:
        raise HourlyFileError(f"{file.name} cannot be read as CSV with the columns {', '.join(columns)} ({error}).") from error
    if missing := [column for column in columns if column not in frame]:
        raise HourlyFileError(f"{file.name} has no column {', '.join(missing)}; it needs {', '.join(columns)}.")
    if not pd.api.types.is_datetime64_dtype(frame[dates]):
        raise HourlyFileError(f"{file.name} has a {dates} that is no date or time such as 2015-03-02 or 2015-03-02T10:00.")
    return frame.astype({dates: UNIT})
